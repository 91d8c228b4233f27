import { getRequestListener, RequestError } from '@hono/node-server'
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { OVERLOADED } from '../core/engine/overload.js'
import type { Who } from '../door/who.js'
import type { Logger } from '../lib/log.js'
import { refuse } from '../lib/result.js'
import { errors } from '../wire/codes.js'
import { takeRequests } from './allowance.js'
import type { App } from './app.js'
import { answersOrigin } from './cors.js'
import { errorBody, JSON_TYPE, refuseEarly, type Exchange, type Exchanges } from './exchange.js'
import { withoutFault } from './faults.js'
import { createHold } from './hold.js'
import { TOO_MANY_UNANSWERED } from './limits.js'
import type { OriginGuard } from './origin-guard.js'
import { unsentRefusal } from './unsent.js'

export interface ListenerParts {
  app: App
  guard: OriginGuard
  who: Who
  exchanges: Exchanges
  /** Of every answer. */
  headers: Readonly<Record<string, string>>
  log: Pick<Logger, 'error'>
  /** Whether submissions are refused now. */
  overloaded: () => boolean
}

/** What a request takes beside what is measured and counted by size: to read its headers, and to answer, ms. */
const REQUEST_MS = 0.1
/** What takes work on, and so is refused under too much load. */
const SUBMISSION = /^\/(?:api\/v1\/tasks(?:\/submit|\/batch)?|v1\/(?:chat\/completions|completions|embeddings))(?:\?|$)/
const IS_OVERLOADED = refuse('unavailable', OVERLOADED)
const FAILED = refuse('internal', 'the service failed; its operator finds the cause in the log')

/** What is done with a request before a route sees it: who may ask, and how much. To refuse must cost a fraction of what it saves. */
export function createListener({
  app,
  guard,
  who,
  exchanges,
  headers,
  log,
  overloaded,
}: ListenerParts): RequestListener {
  const hold = createHold()
  const answerError = (exchange: Exchange, error: unknown): Response => {
    // What is no request never reaches the routes; what else is thrown out there is a fault of ours.
    const wrong = error instanceof RequestError
    if (!wrong) log.error({ err: error, request_id: exchange.id }, 'request failed')
    const refusal = wrong ? refuse('invalid_request', `the request cannot be read: ${error.message}`) : FAILED
    return new Response(JSON.stringify(errorBody(exchange.request.url, refusal)), {
      status: errors[refusal.code].status,
      headers: { ...exchange.headers, ...JSON_TYPE },
    })
  }
  const run = (exchange: Exchange): void => {
    // A listener for each request costs nothing, and knows its exchange.
    const route = getRequestListener((request) => app.fetch(request, exchange), {
      errorHandler: (error) => answerError(exchange, error),
    })
    route(exchange.request, exchange.response).catch((error: unknown) => {
      log.error({ err: error, request_id: exchange.id }, 'request failed')
      exchange.request.socket.destroy()
    })
  }
  const admit = (exchange: Exchange): void => {
    const { request } = exchange
    if (request.socket.destroyed) return
    if (answersOrigin(guard, exchange)) return
    const identified = who.ofRequest(request.headers, exchange.remote)
    if (!identified.ok) return refuseEarly(exchange, identified)
    const { principal } = identified.value
    const by = { ...exchange.by, principal }
    exchange.identify(by, principal.role === 'public' && !who.isLegacy(by))
    const tooFast = takeRequests(exchange)
    if (tooFast !== null) return refuseEarly(exchange, tooFast)
    const unread = unsentRefusal(exchange)
    if (unread !== null) return refuseEarly(exchange, unread, true)
    if (request.method === 'POST') {
      if (!overloaded() || !SUBMISSION.test(request.url ?? '')) return run(exchange)
      if (!hold(exchange, () => begin(exchange, goOn))) refuseEarly(exchange, IS_OVERLOADED)
      return
    }
    // Answers to reads may be large: none is made while another waits for the reader.
    exchange.whenFirst(() => run(exchange))
  }
  /** What has waited for the end of an overload. */
  const goOn = (exchange: Exchange): void => {
    if (exchange.request.socket.destroyed) return
    if (overloaded()) refuseEarly(exchange, IS_OVERLOADED)
    else run(exchange)
  }
  const guarded = withoutFault(
    log,
    (exchange: Exchange, step: (exchange: Exchange) => void) => step(exchange),
    ({ request, response }) => answerFault(request, response, headers),
  )
  /** In the share of time of its address. */
  const begin = (exchange: Exchange, step: (exchange: Exchange) => void): void => {
    const { limits, keys } = exchange
    limits.time.run(keys, () => {
      limits.time.charge(keys, REQUEST_MS)
      guarded(exchange, step)
    })
  }
  const take: RequestListener = (request, response) => {
    const exchange = exchanges.open(request, response)
    if (exchange === null) return
    if (exchange.isOneTooMany) return refuseEarly(exchange, TOO_MANY_UNANSWERED, true)
    begin(exchange, admit)
  }
  return withoutFault(log, take, (request, response) => answerFault(request, response, headers))
}

function answerFault(
  { url }: IncomingMessage,
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
): void {
  if (response.headersSent) return void response.destroy()
  const body = JSON.stringify(errorBody(url, FAILED))
  response
    .writeHead(errors[FAILED.code].status, {
      ...headers,
      ...JSON_TYPE,
      'X-Request-Id': randomUUID(),
      'Content-Length': Buffer.byteLength(body),
      Connection: 'close',
    })
    .end(body)
}
