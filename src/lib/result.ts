import type { ErrorCode } from '../wire/codes.js'

/** What an operation came to: its value, or a named refusal that tells a person what to do. */
export type Outcome<T> = { ok: true; value: T } | Refusal

export interface Refusal {
  ok: false
  code: ErrorCode
  message: string
}

export const done = <T>(value: T): Outcome<T> => ({ ok: true, value })
export const refuse = (code: ErrorCode, message: string): Refusal => ({ ok: false, code, message })

/** For the `default` of a switch over a union: the compiler refuses a case that was forgotten. */
export function never(value: never): never {
  throw new Error(`no case for ${JSON.stringify(value)}`)
}
