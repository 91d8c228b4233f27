import { toSeconds } from '../../lib/clock.js'
import { hasEnded } from '../../rules/lifecycle.js'
import type { NewTask, TaskChange, TaskHead } from '../../store/tasks.js'
import type { TaskErrorCode } from '../../wire/fields.js'
import type { Context } from '../context.js'
import type { Pending } from './pending.js'

export type Transitions = ReturnType<typeof createTransitions>

/** Told of ends that are to be told to others, in their commit. */
export interface EndHooks {
  /** A task has reached its end. */
  ended(taskId: string): void
  /** One that had is open again. */
  reopened(taskId: string): void
}

/** Where the status of a stored task changes: the row, who watches it, who is told of its end, and what its user has waiting. */
export function createTransitions(ctx: Context, pending: Pending, ends: EndHooks) {
  const { store } = ctx

  const move = (task: TaskHead | NewTask, change: TaskChange): void => {
    store.tasks.move(task, change)
    ctx.meter.moved(task, change)
    ctx.watches.changed(task.task_id, change.to, change.to === 'in_progress' ? change.attempt : null)
    if (!hasEnded(task.status) && hasEnded(change.to)) ends.ended(task.task_id)
    else if (change.to === 'pending' && hasEnded(task.status)) ends.reopened(task.task_id)
    if (ctx.pendingPerUser === null || (task.status !== 'pending' && change.to !== 'pending')) return
    pending.countFor(task.user_address, change.to === 'pending' ? 1 : -1)
  }
  /** The error may be a node's words, and a prompt be in them: they are in the database, and in the log only at debug. */
  const tell = (event: string, { task_id }: TaskHead, error: string): void => {
    ctx.log('warn', event, { task_id, error_length: error.length })
    ctx.log('debug', 'task.error', { task_id, error: error.slice(0, 200) })
  }
  return {
    move,

    /** @param code what its node said was wrong with the task itself */
    fail(task: TaskHead, error: string, code: TaskErrorCode | null = null): void {
      move(task, { to: 'failed', error, code, at: toSeconds(ctx.wall) })
      tell('task.failed', task, error)
    },

    timeOut(task: TaskHead, error: string): void {
      move(task, { to: 'timeout', error, code: null, at: toSeconds(ctx.wall) })
      tell('task.timeout', task, error)
    },
  }
}
