import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Refusal } from '../lib/result.js'
import { errors } from '../wire/codes.js'
import { envelope, envelopeText, errorEnvelope, RETRY_AFTER_SECONDS } from '../wire/envelope.js'

export const ok = (c: Context, data: unknown): Response => c.json(envelope(data))

/** @param data JSON already */
export const okText = (c: Context, data: string): Response =>
  c.body(envelopeText(data), 200, { 'Content-Type': 'application/json' })

/** A refusal as HTTP; `data` only where an error still says something. */
export function fail(c: Context, { code, message }: Pick<Refusal, 'code' | 'message'>, data: unknown = null): Response {
  const { status, retry } = errors[code]
  return c.json(
    errorEnvelope(code, message, data),
    status as ContentfulStatusCode,
    retry ? { 'Retry-After': String(RETRY_AFTER_SECONDS) } : undefined,
  )
}
