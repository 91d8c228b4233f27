import type { ClientErrorCode, ClientServerMessage } from '../wire/client-answers.js'
import type { ErrorCode } from '../wire/codes.js'
import type { TaskErrorCode } from '../wire/fields.js'

type TaskResult = Omit<Extract<ClientServerMessage, { type: 'task.result' }>, 'type'>

/** What a task ended with, or the client itself says. */
type OwnCode =
  | 'failed'
  | 'timeout'
  | 'cancelled'
  /** The caller has given up by its signal. */
  | 'aborted'
  /** The client was closed. */
  | 'closed'
  /** No connection to the service was to be had for as long as `patience` says. */
  | 'unreachable'
  /** What was answered is not what this service answers. */
  | 'invalid_answer'

/** The service's own codes, those of a node about its task, and those of the client. Newer services may have more. */
export type InferenceErrorCode = ErrorCode | ClientErrorCode | TaskErrorCode | OwnCode | (string & {})

/** Why a call has no answer: `code` for a program, `message` for a person. */
export class InferenceError extends Error {
  /** @param task_id the task that it is about; null where it is about none */
  constructor(
    readonly code: InferenceErrorCode,
    message: string,
    readonly task_id: string | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options)
    // As everything that a signal ends is called.
    this.name = code === 'aborted' ? 'AbortError' : 'InferenceError'
  }
}

export const aborted = (taskId: string | null, signal: AbortSignal): InferenceError =>
  new InferenceError('aborted', 'it was aborted', taskId, { cause: signal.reason })

export const wasClosed = (taskId: string | null): InferenceError =>
  new InferenceError('closed', 'the client was closed', taskId)

/** What was thrown, as an error of ours. */
export const asError = (error: unknown, taskId: string | null): InferenceError =>
  error instanceof InferenceError && (error.task_id !== null || taskId === null)
    ? error
    : new InferenceError(
        error instanceof InferenceError ? error.code : 'failed',
        error instanceof Error ? error.message : String(error),
        taskId,
        { cause: error },
      )

/** Why a task has no result; null when it has one. */
export function failureOf({ task_id, status, error, code, result }: TaskResult): InferenceError | null {
  if (result !== null) return null
  const why = error ?? `the task is ${status}, and has no result`
  const found = code ?? (status === 'timeout' ? 'timeout' : error === 'cancelled' ? 'cancelled' : 'failed')
  return new InferenceError(found, why, task_id)
}
