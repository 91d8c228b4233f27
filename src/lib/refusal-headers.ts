import { errors } from '../wire/codes.js'
import { RETRY_AFTER_SECONDS } from '../wire/envelope.js'
import type { Refusal } from './result.js'

/** The headers of an answer that follow from what is refused, and why. */
export function refusalHeaders({
  code,
  retryAfter = RETRY_AFTER_SECONDS,
  limit,
}: Omit<Refusal, 'ok'>): Record<string, string> {
  return {
    ...(errors[code].retry ? { 'Retry-After': String(retryAfter) } : {}),
    ...(code === 'unauthorized' ? { 'WWW-Authenticate': 'Bearer' } : {}),
    ...(limit === undefined
      ? {}
      : {
          'RateLimit-Policy': `"${limit.name}";q=${limit.quota};w=${limit.window}`,
          RateLimit: `"${limit.name}";r=0;t=${retryAfter}`,
        }),
  }
}
