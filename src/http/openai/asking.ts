import type { Watcher, Watchers } from '../../door/watchers.js'
import { principal } from '../../rules/principal.js'
import type { Caller } from '../../core/access/caller.js'
import type { ClientAnswer } from '../../wire/client-answers.js'
import { errors, type ErrorCode } from '../../wire/codes.js'
import type { Submission } from '../../wire/rest.js'
import { createTaskEvents, type TaskEvent } from '../../wire/task-events.js'
import { keepOpen } from '../event-stream.js'
import type { Exchange } from '../exchange.js'

/** A request and the task that answers it. */
export interface AskingParts {
  exchange: Exchange
  taskId: string
  /** Null: the task is there, and the request joins it. */
  submission: Submission | null
  /** Whether the pieces of the answer are wanted. */
  stream: boolean
  /** Whether the task goes on when its last reader hangs up. */
  keep: boolean
  /** How long it may wait for a node, ms. */
  maxWait: number
  /** It was not stored, or may not be read. */
  onRefused(code: ErrorCode, message: string): void
  onEvent(event: TaskEvent): void
  /** No node has taken it in time; it is cancelled. */
  onLate(): void
  /** The service stops. */
  onStop(): void
}

export type Asking = ReturnType<ReturnType<typeof createAskings>>

/** Who has submitted a task may stop it when he hangs up, also one who has shown no token. */
const asSubmitter = (by: Caller): Caller =>
  by.principal.role === 'public' ? { ...by, principal: principal({ role: 'user', owners: by.principal.owners }) } : by

/** Requests that wait for their tasks: when the last of those that read a task has hung up, it is cancelled, and a GPU stops. */
export function createAskings(watchers: Watchers) {
  /** How many read each task. */
  const readers = new Map<string, number>()

  return (parts: AskingParts) => {
    const { exchange, taskId, submission, stream, keep, maxWait } = parts
    const { by, keys } = exchange
    const events = createTaskEvents()
    let open = true
    readers.set(taskId, (readers.get(taskId) ?? 0) + 1)
    keepOpen(exchange)

    /** @param cancel whether nobody wants the answer any more */
    const end = (cancel: boolean): void => {
      if (!open) return
      open = false
      clearTimeout(late)
      const left = (readers.get(taskId) ?? 1) - 1
      if (left > 0) readers.set(taskId, left)
      else readers.delete(taskId)
      if (cancel && left === 0) {
        const canceller: Watcher = watchers.open({
          by: asSubmitter(by),
          keys,
          on: () => canceller.end(),
          onStop: () => canceller.end(),
        })
        canceller.cancel(taskId)
      }
      watcher.end()
    }
    const on = (message: ClientAnswer): void => {
      if (!open) return
      if (message.type === 'error') {
        end(false)
        return parts.onRefused(message.code in errors ? (message.code as ErrorCode) : 'internal', message.message)
      }
      if (message.type === 'task.submitted') return
      if (message.type !== 'task.status' || message.status === 'in_progress') clearTimeout(late)
      if (message.type === 'task.result') end(false)
      for (const event of events.take(message)) parts.onEvent(event)
    }
    const watcher = watchers.open({
      by,
      keys,
      on,
      onStop() {
        end(false)
        parts.onStop()
      },
    })
    const late = setTimeout(() => {
      end(true)
      parts.onLate()
    }, maxWait)
    // In order: what is cancelled has been stored before.
    if (submission !== null) watcher.submit(submission, stream ? 'output' : 'result')
    else watcher.watch(taskId, stream ? 'output' : 'result')
    exchange.onEnd(() => end(!keep))

    return {
      /** The answer is not wanted any more. @param cancel whether the task is not either */
      end,
    }
  }
}
