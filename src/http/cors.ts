import { refuseEarly, type Exchange } from './exchange.js'
import type { OriginGuard } from './origin-guard.js'

/** How long a browser may keep the answer to a preflight, in seconds. */
const PREFLIGHT_SECONDS = 600

const PREFLIGHT_HEADERS = {
  'Access-Control-Allow-Methods': 'GET, HEAD, POST, DELETE',
  'Access-Control-Allow-Headers': 'content-type, authorization, last-event-id, prefer, idempotency-key',
  'Access-Control-Max-Age': PREFLIGHT_SECONDS,
}

/**
 * Answers what the guard refuses, and preflights of listed origins; pages of those may read every other answer too. Before
 * anything is read or parsed.
 * @returns whether the request is answered
 */
export function answersOrigin(guard: OriginGuard, exchange: Exchange): boolean {
  const { request, response } = exchange
  const { origin } = request.headers
  if (guard.varies) response.setHeader('Vary', 'Origin')
  const refusal = guard.judge(request, exchange.remote)
  if (refusal !== null) {
    refuseEarly(exchange, refusal)
    return true
  }
  if (!guard.isListed(origin)) return false
  response.setHeader('Access-Control-Allow-Origin', origin)
  response.setHeader('Access-Control-Expose-Headers', 'X-Request-Id, Retry-After, X-Ignored-Query')
  if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return false
  response.writeHead(204, { ...PREFLIGHT_HEADERS, 'X-Request-Id': exchange.id }).end()
  return true
}
