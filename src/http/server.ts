import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer, Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { RefusedTally } from '../door/refused-calls.js'
import type { Remotes } from '../door/remote.js'
import type { Who } from '../door/who.js'
import type { Logger } from '../lib/log.js'
import { refuse } from '../lib/result.js'
import { answerRaw } from '../lib/raw-answer.js'
import type { Acceptors } from './acceptors.js'
import type { App } from './app.js'
import { createExchanges, type ExchangesParts } from './exchange.js'
import { withoutFault } from './faults.js'
import type { Limits } from './limits.js'
import { createListener } from './listener.js'
import type { OriginGuard } from './origin-guard.js'
import { asksForSession, serveAsRequest } from './upgrades.js'

/** How long a request may take to arrive, its headers, and a TLS handshake, ms. */
const REQUEST_TIMEOUT_MS = 60_000
const HEADERS_TIMEOUT_MS = 10_000
const HANDSHAKE_TIMEOUT_MS = 10_000

const httpOptions: ServerOptions & { shouldUpgradeCallback: typeof asksForSession } = {
  requestTimeout: REQUEST_TIMEOUT_MS,
  headersTimeout: HEADERS_TIMEOUT_MS,
  connectionsCheckingInterval: 2000,
  // Its absence is refused by the listener, with an answer like every other.
  requireHostHeader: false,
  shouldUpgradeCallback: asksForSession, // from Node 24.9 on
}

/** What every answer has. It is data, is for nobody else, and is new each time. */
const answerHeaders = (secure: boolean): Record<string, string> => ({
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  ...(secure ? { 'Strict-Transport-Security': 'max-age=31536000' } : {}),
})

/** PEM. */
interface KeyPair {
  cert: Buffer
  key: Buffer
}

export interface ServerParts {
  app: App
  tls: KeyPair | null
  guard: OriginGuard
  limits: Limits
  remotes: Remotes
  who: Who
  tally: RefusedTally
  measured?: ExchangesParts['measured']
  log: Pick<Logger, 'error'>
  /** Whether submissions are refused now. */
  overloaded: () => boolean
  /** Takes an upgrade to a session that the guard has let pass. */
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
}

/** The server of REST and of upgrades, with or without TLS; it does not listen yet. No fault in it ends more than a connection. */
export function createServer(parts: ServerParts): Server {
  const { tls, guard, limits, log, remotes, tally, upgrade } = parts
  const headers = answerHeaders(tls !== null)
  const exchanges = createExchanges({ ...parts, headers })
  const listener = createListener({ ...parts, exchanges, headers })
  const server =
    tls === null
      ? createHttpServer(httpOptions, listener)
      : createHttpsServer(
          { ...httpOptions, handshakeTimeout: HANDSHAKE_TIMEOUT_MS, cert: tls.cert, key: tls.key },
          listener,
        )
  const serve = withoutFault(log, serveAsRequest, (_, { socket }) => drop(socket))
  const open = withoutFault(log, upgrade, (_, socket) => drop(socket))
  const takeUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (!asksForSession(request)) {
      const fails = (): void => drop(socket)
      socket.on('error', fails) // until it is served nobody else looks after it
      return exchanges.whenIdle(request.socket, () => {
        socket.off('error', fails)
        serve(server, request, head)
      })
    }
    const remote = remotes.of(request)
    const refusal = guard.judge(request, remote)
    if (refusal !== null) {
      tally.answered(refusal.code)
      return answerRaw(socket, refusal)
    }
    const fails = (): void => drop(socket)
    socket.on('error', fails) // it may go away before its turn
    limits.time.run(remote.keys, () => {
      socket.off('error', fails)
      if (!socket.destroyed) open(request, socket, head)
    })
  }
  // A connection on which nothing moves is dropped, with what was kept for its reader. Sessions have heartbeats instead.
  server.setTimeout(REQUEST_TIMEOUT_MS)
  // A body that is waited for is asked for when it is read: one that is refused does not come.
  server.on('checkContinue', listener)
  server.on(
    'upgrade',
    withoutFault(log, takeUpgrade, (_, socket) => drop(socket)),
  )
  server.on(
    'clientError',
    withoutFault(log, answerClientError, (_, socket) => drop(socket)),
  )
  return server
}
const drop = (socket: Duplex): void => void socket.destroy()

function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  if (error.code === 'HPE_HEADER_OVERFLOW')
    return answerRaw(socket, refuse('headers_too_large', 'the headers are larger than 16 KiB'))
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return answerRaw(
      socket,
      refuse(
        'request_timeout',
        `the request took too long to arrive: its headers may take ${HEADERS_TIMEOUT_MS / 1000} s, and all of it ${REQUEST_TIMEOUT_MS / 1000} s`,
      ),
    )
  answerRaw(socket, refuse('invalid_request', `this is no valid HTTP request: ${error.message}`))
}

/** Makes a server with TLS use another certificate, from the next connection on. */
export function setCertificate(server: Server, { cert, key }: KeyPair): void {
  if (server instanceof HttpsServer) server.setSecureContext({ cert, key })
}

/** Ends a server within `patience` ms, whatever its clients do: also connections that were upgraded, which it does not know. */
export function trackConnections(server: Server, acceptors: Acceptors): (patience: number) => Promise<void> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    if (sockets.has(socket)) return // it is served as a request once more
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return async (patience) => {
    const closed = Promise.all([once(server, 'close'), acceptors.close()])
    server.close()
    server.closeIdleConnections()
    const late = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, patience)
    await closed
    clearTimeout(late)
  }
}

/** Rejects with a sentence that says why it cannot. From then on a fault of the server is logged. */
export const startListening = (
  server: Server,
  host: string,
  port: number,
  backlog: number,
  log: Pick<Logger, 'error'>,
): Promise<void> =>
  new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => reject(new Error(explainListen(host, port, error)))
    server.once('error', failed)
    server.listen({ port, host, backlog }, () => {
      server.off('error', failed)
      server.on('error', (error) => log.error({ event: 'server.failed', err: error }, 'the server failed'))
      resolve()
    })
  })

/** Why a server cannot listen, and what to do, as a sentence. */
function explainListen(host: string, port: number, error: NodeJS.ErrnoException): string {
  const where = `${host}:${port}`
  if (error.code === 'EADDRINUSE')
    return `${where} is in use by another program; stop it, or choose another port with --api-port`
  if (error.code === 'EACCES') return `${where} may not be used by this user; choose a port above 1023 with --api-port`
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND')
    return `${where} is not an address of this machine; choose another with --api-host`
  return `cannot listen on ${where}: ${error.message}`
}
