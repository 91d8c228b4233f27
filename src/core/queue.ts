import type { TaskRow } from '../store/schema.js'
import type { Lane } from '../tasks/models.js'
import type { Context } from './context.js'

/** So many lanes are remembered as empty; more are forgotten and looked at again. */
const MAX_CLEAR = 10_000

export type Queue = ReturnType<typeof createQueue>

/** What memory knows of the tasks that wait. They themselves are rows. */
export function createQueue(ctx: Context) {
  const { store, registry, options } = ctx
  /** Lanes in which no task waits. A lane that is not in it may be empty as well. */
  const clear = new Set<Lane>()

  const count = (user: string, by: 1 | -1): void => {
    const n = (ctx.pendingPerUser?.get(user) ?? 0) + by
    if (n > 0) ctx.pendingPerUser?.set(user, n)
    else ctx.pendingPerUser?.delete(user)
  }

  return {
    /** A task waits: dispatch looks at its lanes, and the loop wakes for it in time. */
    joined(task: Pick<TaskRow, 'model_name' | 'model_type'>) {
      for (const lane of ctx.models.lanesOfTask(task.model_name, task.model_type)) {
        clear.delete(lane)
        registry.dirtyLanes.add(lane)
      }
      ctx.wake(ctx.now + options.starvationAfter)
      if (options.maxQueueTime > 0) ctx.wake(ctx.now + options.maxQueueTime)
    },

    /** Whether no task waits in a lane. Reads one row where memory does not know. */
    isClear(lane: Lane): boolean {
      if (clear.has(lane)) return true
      if (store.tasks.ready(lane, null, 0).length > 0) return false
      if (clear.size >= MAX_CLEAR) clear.clear()
      clear.add(lane)
      return true
    },

    /** Counts a task of a user that waits now (1), or no longer (-1). */
    countFor(user: string, by: 1 | -1) {
      if (ctx.pendingPerUser === null) return
      count(user, by)
      ctx.undo.push(() => count(user, by === 1 ? -1 : 1))
    },

    /** A transaction was undone: what was learned in it may not be so. */
    forget() {
      clear.clear()
    },
  }
}
