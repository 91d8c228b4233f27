import { readTaskErrorCode, type TaskErrorCode } from '../wire/fields.js'

/**
 * Work that failed. `message` is short and safe to log; `detail` (what the model server or program said, and so perhaps
 * a piece of the prompt) goes to the coordinator only.
 */
export class WorkError extends Error {
  override name = 'WorkError'
  readonly retryable: boolean
  readonly detail: string
  /** What is wrong with the task itself: then no other try is made, unless `retryable` says so. */
  readonly code: TaskErrorCode | undefined

  constructor(
    message: string,
    {
      code,
      retryable = code === undefined,
      detail = '',
      cause,
    }: { retryable?: boolean; detail?: string; code?: TaskErrorCode | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause })
    this.retryable = retryable
    this.code = code
    this.detail = detail
  }
}

/**
 * The backend cannot work at all now: not reached, not allowed, overloaded. Thrown by a work function or a check, it
 * makes the node say `maintenance` until the check passes.
 */
export class BackendDown extends WorkError {
  override name = 'BackendDown'
}

/**
 * The backend works and does not have the model of the task. Thrown by a work function, it makes the node offer that model no
 * more until a check finds it again; the task goes to another node.
 */
export class ModelMissing extends WorkError {
  override name = 'ModelMissing'
}

/**
 * The backend works and does not do what the task needs, such as embeddings. It fails the attempt, and makes the node look again
 * at what its backend can.
 */
export class FeatureMissing extends WorkError {
  override name = 'FeatureMissing'
}

/** An error as the coordinator is told of it. */
export interface ToldError {
  /** For logs. */
  message: string
  /** With what the model server says. */
  full: string
  retryable: boolean
  code: TaskErrorCode | undefined
}

/** How an error is told to the coordinator. */
export function tellError(error: unknown): ToldError {
  const message = error instanceof Error ? error.message : String(error)
  const detail = error instanceof WorkError && error.detail !== '' ? `${message}: ${error.detail}` : message
  const field = (name: 'retryable' | 'code'): unknown =>
    typeof error === 'object' && error !== null && name in error ? Reflect.get(error, name) : undefined
  const code = field('code') // of errors of the runtime too, which says nothing of the task
  return {
    message,
    full: detail,
    retryable: field('retryable') !== false,
    code: (typeof code === 'string' ? readTaskErrorCode(code) : null) ?? undefined,
  }
}
