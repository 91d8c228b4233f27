/** Every error a REST answer may carry in `code`, with its HTTP status. A `retry` one comes with `Retry-After`. */
export const errors = {
  invalid_request: { status: 400, retry: false },
  unauthorized: { status: 401, retry: false },
  forbidden: { status: 403, retry: false },
  forbidden_origin: { status: 403, retry: false },
  not_found: { status: 404, retry: false },
  task_not_found: { status: 404, retry: false },
  node_not_registered: { status: 404, retry: false },
  method_not_allowed: { status: 405, retry: false },
  request_timeout: { status: 408, retry: false },
  conflict: { status: 409, retry: false },
  too_large: { status: 413, retry: false },
  unsupported_media_type: { status: 415, retry: false },
  wrong_host: { status: 421, retry: false },
  upgrade_required: { status: 426, retry: false },
  rate_limited: { status: 429, retry: true },
  headers_too_large: { status: 431, retry: false },
  internal: { status: 500, retry: false },
  unavailable: { status: 503, retry: true },
  queue_full: { status: 503, retry: true },
  stopping: { status: 503, retry: true },
  /** Another one of the services that stand for each other has the work. */
  not_owner: { status: 503, retry: true },
} as const
export type ErrorCode = keyof typeof errors

/** The close codes of a session, and what the other side does about each (`reconnect`). */
export const closeCodes = {
  drained: { code: 1000, reconnect: 'no' },
  stopping: { code: 1001, reconnect: 'after' },
  binary: { code: 1003, reconnect: 'no' },
  /** A message was not whole in time. */
  unfinished: { code: 1008, reconnect: 'backoff' },
  tooLarge: { code: 1009, reconnect: 'no' },
  /** A fault of the service's own. */
  internal: { code: 1011, reconnect: 'backoff' },
  tryLater: { code: 1013, reconnect: 'backoff' },
  invalid: { code: 4400, reconnect: 'no' },
  unauthorized: { code: 4401, reconnect: 'no' },
  forbidden: { code: 4403, reconnect: 'no' },
  silent: { code: 4408, reconnect: 'now' },
  replaced: { code: 4409, reconnect: 'no' },
  tooMany: { code: 4429, reconnect: 'backoff' },
  /** The reader has fallen behind its buffer. */
  tooSlow: { code: 4429, reconnect: 'backoff' },
} as const
export type CloseReason = keyof typeof closeCodes
export type Reconnect = (typeof closeCodes)[CloseReason]['reconnect']

/** What to do after a close with this code; a code that is not in the table is a lost connection: backoff. */
export function reconnectAfter(code: number): Reconnect {
  return Object.values(closeCodes).find((c) => c.code === code)?.reconnect ?? 'backoff'
}
