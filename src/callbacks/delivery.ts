import type { CallbackContent, CallbackReport, DueCallback } from '../core/callbacks/reports.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { TaskView } from '../core/operations.js'
import { jsonInSteps } from '../lib/json-pieces.js'
import type { CallbackMessage } from '../wire/task-answers.js'
import type { Post } from './post.js'
import { secretFor, signInSteps } from './signing.js'

export interface DeliveryParts {
  call: Scheduler['call']
  post: Post
  /** `whsec_` and base64. */
  secret: string
  /** A task as its owner sees it. */
  view(task: TaskView): object
  inSteps<T>(steps: Iterator<void, T>): Promise<T>
  /** Unix ms. */
  wall(): number
}

/** How each end is called. */
const types: Partial<Record<TaskView['task']['status'], CallbackMessage['type']>> = {
  completed: 'task.completed',
  submitted: 'task.completed',
  failed: 'task.failed',
  timeout: 'task.timeout',
}

/** What a callback says. */
export const bodyOf = (
  { view, ended_at }: Pick<CallbackContent, 'view' | 'ended_at'>,
  show: DeliveryParts['view'],
) => ({
  type: types[view.task.status],
  timestamp: new Date(ended_at * 1000).toISOString(),
  data: show(view),
})

/** Tries to deliver one callback. Null where it is not to be sent any more, or the try was cut. */
export function createDelivery({ call, post, secret, view, inSteps, wall }: DeliveryParts) {
  return async ({ task_id, webhook_id }: DueCallback, cut: AbortSignal): Promise<CallbackReport | null> => {
    const found = await call({ op: 'callbackContent', task_id, webhook_id })
    if (!found.ok) return { task_id, webhook_id, is: 'failed', error: found.message }
    const content = found.value
    if (content === null || cut.aborted) return null
    const body = await inSteps(jsonInSteps(bodyOf(content, view)))
    const message = { id: webhook_id, at: wall(), body }
    const headers = await inSteps(signInSteps(secretFor(secret, content.signed_for), message))
    const posted = await post(content.url, headers, body, cut)
    return cut.aborted ? null : { task_id, webhook_id, ...posted }
  }
}
