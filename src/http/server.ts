import { getRequestListener, RequestError } from '@hono/node-server'
import type { Hono } from 'hono'
import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer, Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Logger } from '../lib/log.js'
import { OVERLOADED } from '../core/engine/overload.js'
import { answerRaw } from '../lib/raw-answer.js'
import { errors } from '../wire/codes.js'
import { errorEnvelope, RETRY_AFTER_SECONDS } from '../wire/envelope.js'
import { answersOrigin } from './cors.js'
import type { OriginGuard } from './origin-guard.js'

/** How long a request may take to arrive, ms; its headers half of that. */
const REQUEST_TIMEOUT_MS = 60_000

const httpOptions: ServerOptions = {
  requestTimeout: REQUEST_TIMEOUT_MS,
  headersTimeout: REQUEST_TIMEOUT_MS / 2,
  // Its absence is refused by the listener, with an answer like every other.
  requireHostHeader: false,
}

/** PEM. */
interface KeyPair {
  cert: Buffer
  key: Buffer
}

export interface ServerParts {
  app: Hono
  tls: KeyPair | null
  guard: OriginGuard
  log: Pick<Logger, 'error'>
  /** Whether submissions are refused now. */
  overloaded: () => boolean
}

/** What takes work on, and so is refused under too much load. */
const SUBMISSION = /^\/api\/v1\/tasks(?:\/submit|\/batch)?(?:\?|$)/
const REFUSAL = JSON.stringify(errorEnvelope('unavailable', OVERLOADED))
const REFUSAL_HEADERS = {
  'Content-Type': 'application/json',
  'Content-Length': Buffer.byteLength(REFUSAL),
  'Retry-After': RETRY_AFTER_SECONDS,
}

/** The server of REST and of upgrades, with or without TLS; it does not listen yet. */
export function createServer({ app, tls, guard, log, overloaded }: ServerParts): Server {
  const listen = getRequestListener(app.fetch, {
    errorHandler(error) {
      // What is no request never reaches the routes; what else is thrown out there is a fault of ours.
      const wrong = error instanceof RequestError
      if (!wrong) log.error({ err: error }, 'request failed')
      const code = wrong ? 'invalid_request' : 'internal'
      const message =
        error instanceof RequestError
          ? `the request cannot be read: ${error.message}`
          : 'the service failed; its operator finds the cause in the log'
      return Response.json(errorEnvelope(code, message), {
        status: errors[code].status,
        headers: { 'X-Request-Id': crypto.randomUUID() },
      })
    },
  })
  // It answers its own failures; the promise it gives is always kept.
  const listener: RequestListener = (request, response) => {
    if (answersOrigin(guard, request, response)) return
    // Before anything is read or parsed: to refuse must cost a fraction of what it saves.
    if (request.method === 'POST' && overloaded() && SUBMISSION.test(request.url ?? '')) {
      response
        .writeHead(errors.unavailable.status, { ...REFUSAL_HEADERS, 'X-Request-Id': crypto.randomUUID() })
        .end(REFUSAL)
    } else void listen(request, response)
  }
  const server =
    tls === null
      ? createHttpServer(httpOptions, listener)
      : createHttpsServer({ ...httpOptions, cert: tls.cert, key: tls.key }, listener)
  // A connection on which nothing moves is dropped, with what was kept for its reader. Sessions have heartbeats instead.
  server.setTimeout(REQUEST_TIMEOUT_MS)
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    if (error.code === 'HPE_HEADER_OVERFLOW')
      return answerRaw(socket, 'headers_too_large', 'the headers are larger than 16 KiB')
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT')
      return answerRaw(
        socket,
        'request_timeout',
        `the request took longer than ${REQUEST_TIMEOUT_MS / 1000} s to arrive`,
      )
    answerRaw(socket, 'invalid_request', `this is no valid HTTP request: ${error.message}`)
  })
  return server
}

/** Makes a server with TLS use another certificate, from the next connection on. */
export function setCertificate(server: Server, { cert, key }: KeyPair): void {
  if (server instanceof HttpsServer) server.setSecureContext({ cert, key })
}

/** Ends a server within `patience` ms, whatever its clients do: also connections that were upgraded, which it does not know. */
export function trackConnections(server: Server): (patience: number) => Promise<void> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return async (patience) => {
    const closed = once(server, 'close')
    server.close()
    server.closeIdleConnections()
    const late = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, patience)
    await closed
    clearTimeout(late)
  }
}
