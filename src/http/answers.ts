import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Refusal } from '../lib/result.js'
import { errors, type ErrorCode } from '../wire/codes.js'

/** Seconds a caller is asked to wait before it tries again. */
export const RETRY_AFTER = 5

/** The envelope of every answer: the three keys are always there. */
export const envelope = (data: unknown) => ({ success: true, data, error: null })

/** The envelope of an error. `error` is for a person, `code` for a program. */
export const errorEnvelope = (code: ErrorCode, message: string) => ({ success: false, data: null, error: message, code })

export const ok = (c: Context, data: unknown): Response => c.json(envelope(data))

export function fail(c: Context, { code, message }: Pick<Refusal, 'code' | 'message'>): Response {
  const { status, retry } = errors[code]
  return c.json(errorEnvelope(code, message), status as ContentfulStatusCode, retry ? { 'Retry-After': String(RETRY_AFTER) } : undefined)
}
