import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { errorEnvelope } from '../wire/envelope.js'
import type { HealthView } from '../wire/service-answers.js'
import { setCertificate } from './server.js'

/** How long a request may take to arrive, its headers, and a TLS handshake, ms. */
const REQUEST_TIMEOUT_MS = 10_000
/** More connections at once are not taken. */
const MAX_CONNECTIONS = 10_000
const RETRY_AFTER_SECONDS = 1

/** What a coordinator that does not own the work says of itself. */
export interface StandbyState {
  /** Where the owner is reached; null: none is known. */
  owner: string | null
  /** One sentence: what it is doing instead. */
  why: string
  /** For `GET /health`. */
  health: HealthView
}

export interface Standby {
  /** Does nothing where it is open. @throws Error when the address cannot be had */
  open(): Promise<{ host: string; port: number }>
  /** Shows another certificate from the next connection on, PEM. */
  use(certificate: { cert: Buffer; key: Buffer }): void
  close(): Promise<void>
}

/** The door of a coordinator that does not own the work: whatever is asked of it, it says who does. */
export function createStandby({
  host,
  port,
  tls,
  state,
}: {
  host: string
  port: number
  /** PEM. */
  tls: { cert: Buffer; key: Buffer } | null
  state: () => StandbyState
}): Standby {
  const answerOf = (path: string): string => {
    const { owner, why, health } = state()
    const data = path === '/health' || path === '/api/v1/health' ? { data: health } : {}
    return JSON.stringify({ ...errorEnvelope('not_owner', why), owner, ...data })
  }
  const headers = {
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'Retry-After': String(RETRY_AFTER_SECONDS),
    // What comes next may have to go elsewhere.
    Connection: 'close',
  }
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume()
    const body = answerOf((request.url ?? '').split('?', 1)[0] ?? '')
    response.writeHead(503, { ...headers, 'Content-Length': Buffer.byteLength(body) })
    response.end(request.method === 'HEAD' ? undefined : body)
  }
  const upgrade = (_: IncomingMessage, socket: Duplex): void => {
    const body = answerOf('')
    socket.on('error', () => socket.destroy())
    const lines = Object.entries({ ...headers, 'Content-Length': Buffer.byteLength(body) }).map(
      ([k, value]) => `${k}: ${value}`,
    )
    socket.end(['HTTP/1.1 503 Service Unavailable', ...lines, '', body].join('\r\n'), () => socket.destroy())
  }
  let shown = tls
  let server: Server | null = null
  return {
    async open() {
      if (server !== null) return { host, port: (server.address() as AddressInfo).port }
      const options = {
        requestTimeout: REQUEST_TIMEOUT_MS,
        headersTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: 2000,
      }
      const made =
        shown === null
          ? createHttpServer(options, listener)
          : createHttpsServer({ ...options, handshakeTimeout: REQUEST_TIMEOUT_MS, ...shown }, listener)
      made.maxConnections = MAX_CONNECTIONS
      made.setTimeout(REQUEST_TIMEOUT_MS)
      made.on('upgrade', upgrade)
      made.on('clientError', (_, socket) => socket.destroy())
      made.listen(port, host)
      await once(made, 'listening')
      server = made
      return { host, port: (made.address() as AddressInfo).port }
    },
    use(certificate) {
      shown = { cert: certificate.cert, key: certificate.key }
      if (server !== null) setCertificate(server, shown)
    },
    async close() {
      const closing = server
      server = null
      if (closing === null) return
      const closed = once(closing, 'close')
      closing.close()
      closing.closeAllConnections()
      await closed
    },
  }
}
