/**
 * Work that failed. `message` is short and safe to log; `detail` (what the model server or program said, and so perhaps
 * a piece of the prompt) goes to the coordinator only.
 */
export class WorkError extends Error {
  override name = 'WorkError'
  readonly retryable: boolean
  readonly detail: string

  constructor(
    message: string,
    { retryable = true, detail = '', cause }: { retryable?: boolean; detail?: string; cause?: unknown } = {},
  ) {
    super(message, { cause })
    this.retryable = retryable
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

/** How an error is told to the coordinator. */
export function tellError(error: unknown): { message: string; full: string; retryable: boolean } {
  const message = error instanceof Error ? error.message : String(error)
  const detail = error instanceof WorkError && error.detail !== '' ? `${message}: ${error.detail}` : message
  const retryable = !(typeof error === 'object' && error !== null && 'retryable' in error && error.retryable === false)
  return { message, full: detail, retryable }
}
