import { toSeconds } from '../../lib/clock.js'
import { hasEnded } from '../../rules/lifecycle.js'
import type { Context } from '../context.js'
import type { TracedEnd } from '../rates/traced-ends.js'
import type { TaskTrace } from './reports.js'

/** What traces tell of tasks that have ended, read from what is stored: a task that is gone by now, or is open again, is left out. */
export function createTaskTraces(ctx: Pick<Context, 'store' | 'moments' | 'wall'>) {
  const { store, moments } = ctx
  const traceOf = ({ task_id, ended_ms }: TracedEnd): TaskTrace[] => {
    const task = store.tasks.head(task_id)
    if (task === undefined || task.traceparent === null || !hasEnded(task.status)) return []
    const { traceparent, model_name, status, retried_after, created_at, queued_ms } = task
    const reopened = retried_after === 0 ? undefined : store.history.reopenings(task_id).at(-1)
    return [
      {
        task_id,
        traceparent,
        model_name,
        status,
        queued_ms: moments.wallOf(queued_ms, reopened?.reopened_at ?? created_at),
        ended_ms: moments.wallOf(ended_ms, toSeconds(ctx.wall)),
        attempts: store.attempts
          .newest(task_id)
          .filter((a) => a.attempt > retried_after)
          .map(moments.onWall),
      },
    ]
  }
  return (ended: readonly TracedEnd[]): TaskTrace[] => ended.flatMap(traceOf)
}
