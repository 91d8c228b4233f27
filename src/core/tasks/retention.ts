import { toSeconds } from '../../lib/clock.js'
import type { AgedTask } from '../../store/tasks.js'
import { hasEnded } from '../../rules/lifecycle.js'
import type { Context } from '../context.js'
import { TIME_SLICE_MS, createVacuum, LATE_MS, PAUSE_MS } from './vacuum.js'

/** So many rows are deleted between two looks at the clock. */
const ROWS_A_STEP = 4
/** How long it pauses after a bite, in bites: while nobody else wants the time; while others do; while more is stored than deleted. */
const PAUSES = { idle: 1, busy: 19, behind: 3 } as const
/** The longest rest after everything that is old enough was deleted, ms. */
const MAX_REST_MS = 60_000
/** The longest time until it begins at the oldest row again, ms, which an earlier walk may have passed over. */
const WALK_EVERY_MS = 3_600_000

/**
 * Deletes tasks that ended longer ago than `options.retention`, with their attempts and reopenings, in small bites, and
 * gives their room back. It walks from the oldest row on and rests where the rows become too young; nothing is ever
 * scanned or sorted. A task that waits or runs is passed over.
 *
 * Beside a load it takes a twentieth of the time; as much as a quarter while it deletes fewer than two for each task that
 * is stored, so that it catches up with any load that lasts.
 */
export function createRetention(ctx: Context) {
  const { store, options } = ctx
  const shrinking = createVacuum(ctx)
  const walkAgain = Math.min(WALK_EVERY_MS, options.retention / 100)
  /** The last row that this walk is done with. */
  let cursor = 0
  let nextLook = 0
  let nextWalk = 0
  /** Since the last rest, and how many tasks were stored then; null before the first look. */
  let deleted = 0
  let storedThen: number | null = null
  /** How many tasks were stored after the last bite. */
  let seen = 0
  /** When it asked to be called. */
  let asked = 0

  const startWall = ctx.time.wall()
  const startMonotonic = ctx.time.monotonic()

  const total = (): number => Object.values(store.tasks.counts).reduce((a, b) => a + b, 0)

  /** @returns how many of them were old */
  const removeThese = (tasks: readonly AgedTask[]): number => {
    // What a wall clock that jumped ahead says is no reason to delete anything: age is what has passed while we looked.
    const limit = toSeconds(Math.min(ctx.wall, startWall + (ctx.time.monotonic() - startMonotonic)) - options.retention)
    const old = tasks.filter((t) => t.created_at < limit)
    const ended = old.filter((t) => t.updated_at < limit && hasEnded(t.status))
    for (const { task_id } of ended) {
      store.attempts.remove(task_id)
      store.history.removeReopenings(task_id)
    }
    store.tasks.remove(ended)
    deleted += ended.length
    // Rows lie in the order of their making. One that a wrong clock has dated ahead is passed over; many end the walk.
    cursor = old.at(-1)?.seq ?? cursor
    return old.length
  }

  const rest = (empty: boolean): void => {
    nextLook = ctx.now + Math.min(MAX_REST_MS, walkAgain)
    storedThen = total()
    deleted = 0
    // After the newest row was deleted its number is used again.
    if (!empty && ctx.now < nextWalk) return
    cursor = 0
    nextWalk = ctx.now + walkAgain
  }

  /** @returns why it cannot go on, or null */
  const timeSlice = (idle: boolean): Error | null => {
    const began = ctx.time.monotonic()
    const took = (): number => ctx.time.monotonic() - began
    const deletedBefore = deleted
    let stored: AgedTask[] = []
    let old = 0
    let looked = 0
    let error = store.savepoint(() => {
      stored = store.tasks.storedAfter(cursor)
    })
    // To pass over rows takes no time worth counting, and says where to rest.
    while (error === null && looked < stored.length && (old === 0 || took() < TIME_SLICE_MS)) {
      // Parts of their own: what failed is not counted, and what went well before is not undone.
      error = store.savepoint(() => {
        old += removeThese(stored.slice(looked, looked + ROWS_A_STEP))
      })
      looked += ROWS_A_STEP
    }
    if (deleted > deletedBefore) {
      ctx.log('debug', 'tasks.expired', { tasks: deleted - deletedBefore })
      shrinking.begin()
    }
    if (error !== null) return error
    if (old === 0) {
      rest(stored.length === 0)
      return null
    }
    const behind = total() > (storedThen ?? 0) - deleted / 2
    const kind = idle ? 'idle' : behind ? 'behind' : 'busy'
    nextLook = ctx.now + Math.max(PAUSE_MS, took() * (1 + PAUSES[kind]))
    return null
  }

  return {
    tick() {
      if (options.retention === 0) return
      storedThen ??= total()
      const at = Math.min(nextLook, shrinking.next())
      if (ctx.now < at) return ctx.wake(at)
      // Nothing was stored meanwhile, and nothing kept us from being called when we asked for it.
      const idle = total() === seen && ctx.now - asked <= LATE_MS
      if (ctx.now >= nextLook) {
        const before = { cursor, nextWalk, deleted, storedThen }
        ctx.undo.push(() => {
          ;({ cursor, nextWalk, deleted, storedThen } = before)
          nextLook = 0
        })
        const error = timeSlice(idle)
        if (error !== null) {
          // A damaged row of long ago must not keep today's tasks from being served.
          ctx.log('error', 'retention.failed', { error: error.message })
          cursor = 0
          nextLook = ctx.now + WALK_EVERY_MS
        }
      } else {
        shrinking.tick(idle)
      }
      seen = total()
      asked = Math.max(ctx.now, Math.min(nextLook, shrinking.next()))
      ctx.wake(asked)
    },
  }
}
