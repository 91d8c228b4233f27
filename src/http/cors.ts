import { answerHeaders } from '../contract/answer-headers.js'
import { refuseEarly, type Exchange } from './exchange.js'
import type { OriginGuard } from './origin-guard.js'

/** How long a browser may keep the answer to a preflight, in seconds. */
const PREFLIGHT_SECONDS = 600

const PREFLIGHT_HEADERS = {
  'Access-Control-Allow-Methods': 'GET, HEAD, POST, DELETE',
  // The first has to be named; the rest are those of routes, and what clients of OpenAI's API say of themselves.
  'Access-Control-Allow-Headers': 'authorization, *',
  'Access-Control-Max-Age': PREFLIGHT_SECONDS,
}

const EXPOSED = Object.keys(answerHeaders).join(', ')

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
  response.setHeader('Access-Control-Expose-Headers', EXPOSED)
  if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return false
  response.writeHead(204, { ...PREFLIGHT_HEADERS, 'X-Request-Id': exchange.id }).end()
  return true
}
