import type { IncomingMessage, ServerResponse } from 'node:http'
import { errors } from '../wire/codes.js'
import { errorEnvelope } from '../wire/envelope.js'
import type { OriginGuard } from './origin-guard.js'

/** How long a browser may keep the answer to a preflight, in seconds. */
const PREFLIGHT_SECONDS = 600

const PREFLIGHT_HEADERS = {
  'Access-Control-Allow-Methods': 'GET, HEAD, POST, DELETE',
  'Access-Control-Allow-Headers': 'content-type, authorization',
  'Access-Control-Max-Age': PREFLIGHT_SECONDS,
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'

/**
 * Answers what the guard refuses, and preflights of listed origins; pages of those may read every other answer too. Before
 * anything is read or parsed.
 * @returns whether the request is answered
 */
export function answersOrigin(guard: OriginGuard, request: IncomingMessage, response: ServerResponse): boolean {
  const { origin } = request.headers
  if (guard.varies) response.setHeader('Vary', 'Origin')
  const refusal = guard.judge(request.headers)
  if (refusal !== null) {
    const body = JSON.stringify(errorEnvelope(refusal.code, refusal.message))
    response
      .writeHead(errors[refusal.code].status, {
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(body),
        'X-Request-Id': crypto.randomUUID(),
        ...(hasBody(request) ? { Connection: 'close' } : {}), // it is not read
      })
      .end(body)
    return true
  }
  if (!guard.isListed(origin)) return false
  response.setHeader('Access-Control-Allow-Origin', origin)
  response.setHeader('Access-Control-Expose-Headers', 'X-Request-Id, Retry-After')
  if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return false
  response.writeHead(204, { ...PREFLIGHT_HEADERS, 'X-Request-Id': crypto.randomUUID() }).end()
  return true
}
