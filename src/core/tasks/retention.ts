import { toSeconds } from '../../lib/clock.js'
import type { AgedTask } from '../../store/tasks.js'
import { hasEnded } from '../../rules/lifecycle.js'
import type { Context } from '../context.js'
import { TIME_SLICE_MS, createVacuum, LATE_MS, PAUSE_MS } from './vacuum.js'

/** Rows that are deleted between two looks at the clock. */
const ROWS_A_STEP = 4
/**
 * The pause after a time slice, in slices. idle: nobody else wants the time. busy: others do. behind: others do, and more is
 * stored than deleted.
 */
const PAUSES = { idle: 1, busy: 19, behind: 3 } as const
/** The longest pause after everything that is old enough was deleted. */
const MAX_PAUSE_MS = 60_000
/** The longest time until a walk begins at the oldest row again, which an earlier one may have passed over. */
const WALK_EVERY_MS = 3_600_000

/**
 * Deletes tasks that ended longer ago than `options.retention`, with all that is stored of them, in short time slices,
 * and has their room given back. It walks from the oldest row on and pauses where the rows become too young; nothing is
 * ever scanned or sorted. A task that waits or runs is passed over.
 *
 * Beside a load it takes a twentieth of the time; as much as a quarter while it deletes fewer than two for each task that
 * is stored, so that it catches up with any load that lasts.
 */
export function createRetention(ctx: Context) {
  const { store, options } = ctx
  const vacuum = createVacuum(ctx)
  const walkAgain = Math.min(WALK_EVERY_MS, options.retention / 100)
  const walk = {
    /** The last row that this walk is done with. */
    cursor: 0,
    /** When it goes on, and when it begins at the oldest row again; service clock, ms. */
    nextSlice: 0,
    nextWalk: 0,
    /** Since the last pause, and how many tasks were stored then; null before the first tick. */
    deleted: 0,
    storedThen: null as number | null,
  }
  /** How many tasks were stored after the last time slice. */
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
    // What is paid for it may still change: until that is final, the task is what it is paid from.
    const ended = old.filter((t) => t.updated_at < limit && hasEnded(t.status) && !store.settlements.isOpen(t.task_id))
    ctx.undo.keep(walk)
    for (const { task_id } of ended) {
      store.attempts.remove(task_id)
      store.history.removeReopenings(task_id)
      store.resultProofs.removeSignature(task_id)
      store.settlements.remove(task_id)
      store.callbacks.remove(task_id)
    }
    store.tasks.remove(ended)
    walk.deleted += ended.length
    // Rows lie in the order of their making. One that a wrong clock has dated ahead is passed over; many end the walk.
    walk.cursor = old.at(-1)?.seq ?? walk.cursor
    return old.length
  }

  const pause = (empty: boolean): void => {
    walk.nextSlice = ctx.now + Math.min(MAX_PAUSE_MS, walkAgain)
    walk.storedThen = total()
    walk.deleted = 0
    // After the newest row was deleted its number is used again.
    if (!empty && ctx.now < walk.nextWalk) return
    walk.cursor = 0
    walk.nextWalk = ctx.now + walkAgain
  }

  /** @returns why it cannot go on, or null */
  const timeSlice = (idle: boolean): Error | null => {
    const began = ctx.time.monotonic()
    const took = (): number => ctx.time.monotonic() - began
    const deletedBefore = walk.deleted
    let stored: AgedTask[] = []
    let old = 0
    let looked = 0
    let error = ctx.savepoint(() => {
      stored = store.tasks.storedAfter(walk.cursor)
    })
    // To pass over rows takes no time worth counting, and says where to rest.
    while (error === null && looked < stored.length && (old === 0 || took() < TIME_SLICE_MS)) {
      // Parts of their own: what failed is not counted, and what went well before is not undone.
      error = ctx.savepoint(() => {
        old += removeThese(stored.slice(looked, looked + ROWS_A_STEP))
      })
      looked += ROWS_A_STEP
    }
    if (walk.deleted > deletedBefore) {
      ctx.log('debug', 'tasks.expired', { tasks: walk.deleted - deletedBefore })
      vacuum.begin()
    }
    if (error !== null) return error
    if (old === 0) {
      pause(stored.length === 0)
      return null
    }
    const behind = total() > (walk.storedThen ?? 0) - walk.deleted / 2
    const kind = idle ? 'idle' : behind ? 'behind' : 'busy'
    walk.nextSlice = ctx.now + Math.max(PAUSE_MS, took() * (1 + PAUSES[kind]))
    return null
  }

  return {
    tick() {
      if (options.retention === 0) return
      ctx.undo.keep(walk)
      walk.storedThen ??= total()
      const at = Math.min(walk.nextSlice, vacuum.next())
      if (ctx.now < at) return ctx.wake(at)
      // Nothing was stored meanwhile, and nothing kept us from being called when we asked for it.
      const idle = total() === seen && ctx.now - asked <= LATE_MS
      if (ctx.now >= walk.nextSlice) {
        const error = timeSlice(idle)
        if (error !== null) {
          // A damaged row of long ago must not keep today's tasks from being served.
          ctx.log('error', 'retention.failed', { error: error.message })
          walk.cursor = 0
          walk.nextSlice = ctx.now + WALK_EVERY_MS
        }
      } else {
        vacuum.tick(idle)
      }
      seen = total()
      asked = Math.max(ctx.now, Math.min(walk.nextSlice, vacuum.next()))
      ctx.wake(asked)
    },
  }
}
