import { toSeconds } from '../lib/clock.js'
import type { AgedTask } from '../store/tasks.js'
import { hasEnded } from '../tasks/lifecycle.js'
import type { Context } from './context.js'

/** One look ends after this, ms, and has got on by one row at least: long texts take longer to delete than short ones. */
const BUDGET = 10
/** How long it waits between two looks while there may be more to do, ms: others have their turns in between. */
const PAUSE = 100
/** The longest rest after everything that is old enough was deleted, ms. */
const REST = 3_600_000
/** How many pages of 4 KiB one look gives back to the file system. */
const PAGES = 128

/**
 * Deletes tasks that ended longer ago than `options.retention`, with their attempts and reopenings, a few at each look,
 * and gives their room back. It walks from the oldest row on and rests when the rows become too young; nothing is ever
 * scanned or sorted. A task that waits or runs is passed over.
 */
export function createRetention(ctx: Context) {
  const { store, options } = ctx
  /** The last row that was looked at in this walk. */
  let cursor = 0
  let nextLook = 0
  /** There may be room to give back, also what was left over at the last stop. */
  let shrinking = options.retention > 0

  const startWall = ctx.time.wall()
  const startMonotonic = ctx.time.monotonic()

  /** @returns whether there may be more to delete now */
  const removeSome = (): boolean => {
    // What a wall clock that jumped ahead says is no reason to delete anything: age is what has passed while we looked.
    const limit = toSeconds(Math.min(ctx.wall, startWall + (ctx.time.monotonic() - startMonotonic)) - options.retention)
    const began = ctx.time.monotonic()
    const ended: AgedTask[] = []
    let old = 0
    let last = cursor
    const stored = store.tasks.storedAfter(cursor)
    for (const task of stored) {
      if (last !== cursor && ctx.time.monotonic() - began > BUDGET) break
      last = task.seq
      if (task.created_at >= limit) continue
      old++
      if (task.updated_at >= limit || !hasEnded(task.status)) continue
      store.attempts.remove(task.task_id)
      store.history.removeReopenings(task.task_id)
      ended.push(task)
    }
    store.tasks.remove(ended)
    if (ended.length > 0) {
      ctx.log('debug', 'tasks.expired', { tasks: ended.length })
      shrinking = true
    }
    // Rows lie in the order of their making. One that a wrong clock has dated ahead does not end the walk; a look at
    // nothing old does.
    const through = last === (stored.at(-1)?.seq ?? cursor)
    const more = old > 0 || !through
    cursor = more ? last : 0
    return more
  }

  const giveRoomBack = (): void => {
    const free = store.freePages()
    store.shrink(PAGES)
    shrinking = store.freePages() < free
  }

  const removeNow = (): void => {
    if (ctx.now >= nextLook) nextLook = ctx.now + (removeSome() ? PAUSE : Math.min(REST, options.retention / 100))
  }

  return {
    look() {
      if (options.retention === 0 || (ctx.now < nextLook && !shrinking)) return
      const from = cursor
      ctx.undo.push(() => {
        cursor = from
        nextLook = 0
      })
      const error = store.part(removeNow)
      // A part of its own: that room cannot be given back must not undo what was counted above.
      const stuck = shrinking ? store.part(giveRoomBack) : null
      if (stuck !== null) {
        ctx.log('error', 'retention.failed', { error: stuck.message })
        shrinking = false
      }
      if (error !== null) {
        // A damaged row of long ago must not keep today's tasks from being served.
        ctx.log('error', 'retention.failed', { error: error.message })
        cursor = 0
        nextLook = ctx.now + REST
        shrinking = false
      }
      ctx.wake(shrinking ? ctx.now + PAUSE : nextLook)
    },
  }
}
