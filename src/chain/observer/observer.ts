import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Logger } from '../../lib/log.js'
import { createNetworks } from '../../lib/networks.js'
import { createTally } from '../../lib/tally.js'
import { bodyLimits, isEventPath } from './bodies.js'
import { createEventQueue } from './event-queue.js'
import type { ChainEvent } from './events.js'
import { createIntake } from './intake.js'

export interface ObserverLimits {
  /** The largest block, in bytes. */
  blockBytes: number
  /** Bodies that wait. */
  waiting: number
  /** Bytes of all bodies that are received or wait. */
  bytes: number
  connections: number
  /** How long a request may take to arrive, ms. */
  requestTimeout: number
}

const MIB = 1024 * 1024
const DEFAULT_LIMITS: ObserverLimits = {
  blockBytes: bodyLimits['/new_block'],
  waiting: 1024,
  bytes: 256 * MIB,
  connections: 64,
  requestTimeout: 120_000,
}
const HEADERS_TIMEOUT_MS = 10_000
/** How long after a failure at a gap it is told again, ms. */
const RETRY_AFTER_MS = 1000

/** Who may tell events where nobody else is named. */
export const LOOPBACK = ['127.0.0.0/8', '::1']

export interface ObserverOptions {
  host: string
  /** 0 for a free one. */
  port: number
  /** Networks, as in `src/lib/networks.ts`; everybody else is cut off. Default loopback: a node cannot prove who it is. */
  allowed?: readonly string[]
  log: Pick<Logger, 'warn' | 'error'>
  /**
   * Given one event after another, in order; the next waits until it has settled. Events come at least once: repeats are left out
   * as far as they come soon. One that it fails at is followed by a gap, and a gap that it fails at is told again.
   */
  onEvent(event: ChainEvent): void | Promise<void>
  limits?: Partial<ObserverLimits>
}

/** The door for the events that nodes of the chain tell. */
export interface Observer {
  /** Rejects with one sentence where the address cannot be had. */
  listen(): Promise<{ host: string; port: number }>
  counts(): ObserverCounts
  /** Takes nothing more, drops what waits, and resolves when `onEvent` is at nothing more. */
  close(): Promise<void>
}

export interface ObserverCounts {
  /** Events that were taken, of the paths that matter. */
  events: number
  /** Left out, for the same came just before. */
  repeats: number
  /** Events that are lost to the owner: each is in a gap that it was told, or will be; those of submissions are not. */
  lost: number
  /** Bodies that wait now. */
  waiting: number
}

/**
 * A node repeats an event each second, for ever, and does nothing else until it is answered 2xx. So every request is answered 200
 * as soon as its body is there, before that is looked at; what cannot be read or kept becomes a gap. An event that was answered
 * is lost where the process ends before the owner has it: whoever starts must compare what is open with the node.
 */
export function createObserver({
  host,
  port,
  allowed = LOOPBACK,
  log,
  onEvent,
  limits = {},
}: ObserverOptions): Observer {
  const most = { ...DEFAULT_LIMITS, ...limits }
  const isAllowed = createNetworks(allowed)
  const counts = { events: 0, repeats: 0, lost: 0 }

  let lastLost = ''
  const tellLost = createTally((count) =>
    log.warn(
      { event: 'observer.lost', count, why: lastLost },
      'events of the chain could not be used; what is open is compared with the node',
    ),
  )
  let lastStranger = ''
  const tellStranger = createTally((count) =>
    log.warn(
      { event: 'observer.stranger', count, address: lastStranger },
      'connections to the event observer were closed: their address is not among those that may tell events',
    ),
  )
  const tellDropped = createTally((count) =>
    log.warn(
      { event: 'observer.dropped', count },
      'connections to the event observer were closed: it has as many as it takes',
    ),
  )
  let lastFailure: unknown
  const tellFailure = createTally((count) =>
    log.error({ event: 'observer.failed', count, err: lastFailure }, 'the event observer failed; it goes on'),
  )
  const queue = createEventQueue({
    most: most.waiting,
    onEvent,
    onLost(why) {
      counts.lost++
      lastLost = why
      tellLost()
    },
    onFailure(error) {
      lastFailure = error
      tellFailure()
    },
    retryAfter: RETRY_AFTER_MS,
  })
  const take = createIntake({
    limits: { ...bodyLimits, '/new_block': most.blockBytes },
    bytes: most.bytes,
    queue,
    onEvent: () => counts.events++,
    onRepeat: () => counts.repeats++,
  })

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const path = request.url?.split('?')[0] ?? ''
    const body = request.method === 'GET' && path === '/status' ? 'OK' : ''
    // First of all: whatever is done with the body, the node waits no longer.
    request.once('end', () => response.writeHead(200, { 'content-length': body.length, connection: 'close' }).end(body))
    if (request.method === 'POST' && isEventPath(path)) take(request, path)
    else request.resume()
  }

  const server = createServer(
    {
      requestTimeout: most.requestTimeout,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, most.requestTimeout),
      connectionsCheckingInterval: Math.min(2000, most.requestTimeout),
      requireHostHeader: false,
    },
    answer,
  )
  // A node would repeat for ever what is refused for a header.
  server.on('checkExpectation', answer)
  server.maxConnections = most.connections
  server.on('drop', tellDropped)
  server.prependListener('connection', (socket: Socket) => {
    socket.on('error', () => socket.destroy())
    if (isAllowed(socket.remoteAddress)) return
    lastStranger = socket.remoteAddress ?? ''
    tellStranger()
    socket.destroy()
  })

  return {
    async listen() {
      const listening = once(server, 'listening')
      server.listen(port, host)
      try {
        await listening
      } catch (error) {
        throw new Error(explainListen(host, port, error as NodeJS.ErrnoException), { cause: error })
      }
      server.on('error', (err) =>
        log.error({ err }, 'the event observer takes no more connections; restart the service'),
      )
      return { host, port: (server.address() as AddressInfo).port }
    },
    counts: () => ({ ...counts, waiting: queue.waiting() }),
    async close() {
      const closed = server.listening ? once(server, 'close') : undefined
      server.close()
      server.closeAllConnections()
      await closed
      await queue.close()
    },
  }
}

function explainListen(host: string, port: number, { code, message }: NodeJS.ErrnoException): string {
  const where = `event_observer: ${host}:${port}`
  if (code === 'EADDRINUSE') return `${where} is in use by another program; stop it, or choose another port`
  if (code === 'EACCES') return `${where} may not be used by this user; choose a port above 1023`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return `${where} is not an address of this machine`
  return `${where} cannot be listened on: ${message}`
}
