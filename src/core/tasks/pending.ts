import { textLength, type NewTask } from '../../store/tasks.js'
import type { TaskRow } from '../../store/schema.js'
import type { Lane } from '../../rules/models.js'
import type { Context } from '../context.js'

/** So many lanes are remembered as empty; more are forgotten and looked at again. */
const MAX_EMPTY_LANES = 10_000

/** What is kept in memory of tasks that have just begun to wait, so that most are assigned without being read again. */
const MAX_RECENT_TASKS = 4096
/** The texts of them, in UTF-16 units. */
const MAX_RECENT_LENGTH = 8 * 1024 * 1024
/** And not much longer than this, ms. */
const KEPT_FOR_MS = 10_000
/** How often that is looked at, ms: each look walks over what was deleted from the front of the Map. */
const SWEEP_EVERY_MS = 1000

export type Pending = ReturnType<typeof createPending>

/** What memory knows of the tasks that wait. They themselves are rows. */
export function createPending(ctx: Context) {
  const { store, registry, options } = ctx
  /** Lanes in which no task waits. A lane that is not in it may be empty as well. */
  const emptyLanes = new Set<Lane>()

  /** Tasks that wait for their first attempt, as they were written; the oldest first. What is in them never changes. */
  const recent = new Map<string, { task: NewTask; length: number }>()
  let recentLength = 0
  let nextSweep = 0
  /** Those that wait longest are the next: they stay, but for some that nobody serves. */
  const sweep = (): void => {
    if (ctx.now < nextSweep) return
    nextSweep = ctx.now + SWEEP_EVERY_MS
    for (const [taskId, { task }] of recent) {
      if (ctx.now - task.queued_ms < KEPT_FOR_MS) break
      drop(taskId)
    }
  }
  const drop = (taskId: string): NewTask | undefined => {
    const kept = recent.get(taskId)
    if (kept === undefined) return undefined
    recent.delete(taskId)
    recentLength -= kept.length
    return kept.task
  }

  // What was learned in a turn that is undone may not be so.
  ctx.undo.onRollback(() => {
    emptyLanes.clear()
    recent.clear()
    recentLength = 0
  })

  return {
    /** A task was written as pending: what it says is kept, while there is room. */
    keep(task: NewTask) {
      drop(task.task_id)
      const length = textLength(task)
      sweep()
      if (recent.size >= MAX_RECENT_TASKS || recentLength + length > MAX_RECENT_LENGTH) return
      recent.set(task.task_id, { task, length })
      recentLength += length
    },

    /** What was kept of a task that is ready for its first attempt, and is no longer. */
    takeKept({ task_id, attempt }: { task_id: string; attempt: number }): NewTask | undefined {
      const task = drop(task_id)
      return attempt === 0 ? task : undefined
    },

    /** A task waits: dispatch looks at its lanes, and the loop wakes for it in time. */
    joined(task: Pick<TaskRow, 'model_name' | 'model_type'>) {
      for (const lane of ctx.models.lanesOfTask(task.model_name, task.model_type)) {
        emptyLanes.delete(lane)
        registry.dirtyLanes.add(lane)
      }
      ctx.wake(ctx.now + options.starvationAfter)
      if (options.maxQueueTime > 0) ctx.wake(ctx.now + options.maxQueueTime)
    },

    /** Whether memory knows that no task waits in a lane. */
    isKnownEmpty: (lane: Lane): boolean => emptyLanes.has(lane),

    /** Whether no task waits in a lane. Reads one row where memory does not know. */
    isEmpty(lane: Lane): boolean {
      if (emptyLanes.has(lane)) return true
      if (store.tasks.ready(lane, null, 0).length > 0) return false
      if (emptyLanes.size >= MAX_EMPTY_LANES) emptyLanes.clear()
      emptyLanes.add(lane)
      return true
    },

    /** Counts the tasks of each user from here on. */
    countPerUser() {
      ctx.pendingPerUser ??= new Map(store.tasks.pendingPerUser().map(({ user_address, n }) => [user_address, n]))
    },

    /** Counts a task of a user that waits now (1), or no longer (-1). */
    countFor(user: string, by: 1 | -1) {
      const { pendingPerUser } = ctx
      if (pendingPerUser === null) return
      ctx.undo.keepEntry(pendingPerUser, user)
      const n = (pendingPerUser.get(user) ?? 0) + by
      if (n > 0) pendingPerUser.set(user, n)
      else pendingPerUser.delete(user)
    },
  }
}
