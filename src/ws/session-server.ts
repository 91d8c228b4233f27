import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { Effect } from '../core/operations.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { TimeSource } from '../lib/clock.js'
import { isLoopback, type KeysOf } from '../lib/address.js'
import { answerRaw } from '../lib/raw-answer.js'
import { CLIENT_PATH, CLIENT_PROTOCOL } from '../wire/client.js'
import type { CloseReason } from '../wire/codes.js'
import { NODE_PATH, NODE_PROTOCOL } from '../wire/node.js'
import { openClientSession } from './client-session.js'
import { createHandshakeThrottle } from './handshake-throttle.js'
import { NodeSession, type NodeDoor, type NodeSessionParts } from './node-session.js'
import { createRivals } from './rivals.js'
import type { SocketSession } from './session.js'

/** Where sessions begin, and what is spoken there. */
const protocols = new Map([
  [NODE_PATH, NODE_PROTOCOL],
  [CLIENT_PATH, CLIENT_PROTOCOL],
])
const pathOf = (request: IncomingMessage): string => (request.url ?? '').split('?')[0] ?? ''

/** How often submitters are asked whether they are still there, ms. Who has not answered by the next time is closed. */
const PING_INTERVAL_MS = 30_000

export interface SessionServerParts {
  send: Scheduler['send']
  time: TimeSource
  maxMessageBytes: number
  maxMessagesPerSecond: number
  maxHandshakes: number
  maxSessions: number
  /** Of one address; those that are `isLocal` are not counted. */
  maxSessionsPerAddress: number
  isLocal?: (address: string) => boolean
  keysOf: KeysOf
  /** Empty: a hello is signed for the Host header that came with the upgrade. */
  publicHosts: readonly string[]
  /** ms */
  pingInterval?: number
}

export type SessionServer = ReturnType<typeof createSessionServer>

/** All sessions of the service: takes upgrades, and delivers what the core sends. */
export function createSessionServer(parts: SessionServerParts) {
  const sessions = new Map<number, SocketSession>()
  let lastId = 0
  let handshakes = 0
  const isLocal = parts.isLocal ?? isLoopback
  const perAddress = new Map<string, number>()
  const count = (address: string, by: 1 | -1): void => {
    const n = (perAddress.get(address) ?? 0) + by
    if (n > 0) perAddress.set(address, n)
    else perAddress.delete(address)
  }
  let stopping = false
  /** One timer for all; the core knows of nodes by their heartbeats. */
  const pings = setInterval(() => {
    for (const session of sessions.values()) session.check()
  }, parts.pingInterval ?? PING_INTERVAL_MS)
  pings.unref()
  const server = new WebSocketServer({
    noServer: true,
    // A deflate context costs a quarter of a megabyte a session.
    perMessageDeflate: false,
    maxPayload: parts.maxMessageBytes,
    clientTracking: false,
    handleProtocols: (offered, request) => [protocols.get(pathOf(request)) ?? ''].find((p) => offered.has(p)) ?? false,
  })
  server.on('wsClientError', (_error, socket) =>
    answerRaw(socket, 'invalid_request', 'the upgrade is not a valid WebSocket handshake'),
  )

  const nodeDoor: NodeDoor = {
    send: parts.send,
    time: parts.time,
    maxMessageBytes: parts.maxMessageBytes,
    maxMessagesPerSecond: parts.maxMessagesPerSecond,
    throttle: createHandshakeThrottle(),
    rivals: createRivals(),
    onHandshakeEnd: () => handshakes--,
  }
  // Made where the request is not known: what a session keeps would keep it, and its headers, for as long.
  const onClose = (id: number, address: string) => () => {
    sessions.delete(id)
    count(address, -1)
  }
  const open = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const address = request.socket.remoteAddress ?? ''
    server.handleUpgrade(request, socket, head, (ws) => {
      const id = ++lastId
      count(address, 1)
      const own = { id, socket: ws, from: parts.keysOf(address), onClose: onClose(id, address) }
      sessions.set(
        id,
        pathOf(request) === CLIENT_PATH ? openClient(own) : openNode(own, socket, request.headers.host?.toLowerCase()),
      )
    })
  }
  const openNode = (own: Own, raw: Duplex, host: string | undefined): SocketSession => {
    const hosts = parts.publicHosts.length > 0 ? parts.publicHosts : host === undefined ? [] : [host]
    handshakes++
    return new NodeSession(nodeDoor, { ...own, raw, hosts })
  }
  const openClient = (own: Own): SocketSession =>
    openClientSession({
      ...own,
      send: parts.send,
      time: parts.time,
      maxMessageBytes: parts.maxMessageBytes,
      maxMessagesPerSecond: parts.maxMessagesPerSecond,
    })

  return {
    upgrade(request: IncomingMessage, socket: Duplex, head: Buffer) {
      socket.on('error', drop) // it went away in the middle of the handshake
      const path = pathOf(request)
      const protocol = protocols.get(path)
      const offered = request.headers['sec-websocket-protocol']?.split(',').map((p) => p.trim())
      if (protocol === undefined)
        return answerRaw(
          socket,
          'not_found',
          `there are no sessions at ${path}; nodes connect at ${NODE_PATH}, submitters at ${CLIENT_PATH}`,
        )
      if (stopping) return answerRaw(socket, 'stopping', 'the service is stopping; connect again in a few seconds')
      if (offered !== undefined && !offered.includes(protocol)) {
        return answerRaw(socket, 'invalid_request', `Sec-WebSocket-Protocol: this service speaks ${protocol} only here`)
      }
      if (path === NODE_PATH && handshakes >= parts.maxHandshakes)
        return answerRaw(
          socket,
          'unavailable',
          'too many sessions are waiting for their hello; connect again in a few seconds',
        )
      if (sessions.size >= parts.maxSessions)
        return answerRaw(
          socket,
          'unavailable',
          `the service has ${parts.maxSessions} sessions, the most it takes; connect again later`,
        )
      const address = request.socket.remoteAddress ?? ''
      if (!isLocal(address) && (perAddress.get(address) ?? 0) >= parts.maxSessionsPerAddress) {
        return answerRaw(
          socket,
          'rate_limited',
          `${address} has ${parts.maxSessionsPerAddress} sessions, the most one address may have; close one, or ${path === NODE_PATH ? 'serve more models and slots' : 'submit more'} over one`,
        )
      }
      open(request, socket, head)
    },

    /** Sends what a turn released: to each session all of it at once. */
    deliver(effects: readonly Effect[]) {
      const touched = new Set<SocketSession>()
      for (const effect of effects) {
        const session = sessions.get(effect.session)
        if (session === undefined) continue
        if ('close' in effect) {
          touched.delete(session)
          session.close(effect.close, effect.reason)
        } else {
          session.push(effect.message)
          touched.add(session)
        }
      }
      for (const session of touched) session.flush()
    },

    /**
     * Tells submitters that the service stops; the core tells the nodes. Also closes what has not said hello yet: a node
     * welcomed after this would not be told.
     */
    refuseNew(reconnectAfter: number) {
      stopping = true
      for (const session of sessions.values()) {
        if (session.inHandshake) session.close('stopping', 'the service is stopping')
        else session.drain(reconnectAfter)
      }
    },

    size: () => sessions.size,

    closeAll(reason: CloseReason, text: string) {
      clearInterval(pings)
      for (const session of sessions.values()) session.close(reason, text)
    },
  }
}

/** What every session has. */
type Own = Pick<NodeSessionParts, 'id' | 'socket' | 'from' | 'onClose'>

/** One for all sockets: they keep it for as long as they live. */
function drop(this: Duplex): void {
  this.destroy()
}
