import type { ErrorCode } from '../wire/codes.js'

/** What an operation came to: its value, or a named refusal that tells a person what to do. */
export type Outcome<T> = { ok: true; value: T } | Refusal

export interface Refusal {
  ok: false
  code: ErrorCode
  message: string
  /** When to try again, in seconds; where it is not said, as for every refusal of its code. */
  retryAfter?: number
  /** The limit that was passed, where it is one of requests in a time. */
  limit?: RateLimit
  /** Of `not_owner`: the URL of the service that has the work; null where nobody knows it. */
  owner?: string | null
}

/** So many in a time, which is given back bit by bit. */
export interface RateLimit {
  name: 'address' | 'token'
  quota: number
  /** Seconds. */
  window: number
}

export const done = <T>(value: T): Outcome<T> => ({ ok: true, value })
export const refuse = (code: ErrorCode, message: string): Refusal => ({ ok: false, code, message })

/** For the `default` of a switch over a union: the compiler refuses a case that was forgotten. */
export function never(value: never): never {
  throw new Error(`no case for ${JSON.stringify(value)}`)
}
