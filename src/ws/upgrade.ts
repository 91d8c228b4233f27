import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { Effect } from '../core/operations.js'
import type { Turns } from '../core/turns.js'
import type { TimeSource } from '../lib/clock.js'
import { isLoopback } from '../lib/address.js'
import { answerRaw } from '../lib/raw-answer.js'
import type { CloseReason } from '../wire/codes.js'
import { NODE_PATH, NODE_PROTOCOL } from '../wire/node.js'
import { openNodeSession, type NodeSession } from './node-session.js'

export interface SessionServerParts {
  send: Turns['send']
  time: TimeSource
  maxMessageBytes: number
  maxMessagesPerSecond: number
  maxHandshakes: number
  maxSessions: number
  /** Of one address; those that are `isLocal` are not counted. */
  maxSessionsPerAddress: number
  isLocal?: (address: string) => boolean
  /** Empty: a hello is signed for the Host header that came with the upgrade. */
  publicHosts: readonly string[]
}

export type SessionServer = ReturnType<typeof createSessionServer>

/** All sessions of the service: takes upgrades, and delivers what the core sends. */
export function createSessionServer(parts: SessionServerParts) {
  const sessions = new Map<number, NodeSession>()
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
  const server = new WebSocketServer({
    noServer: true,
    // A deflate context costs a quarter of a megabyte a session.
    perMessageDeflate: false,
    maxPayload: parts.maxMessageBytes,
    clientTracking: false,
    handleProtocols: (offered) => (offered.has(NODE_PROTOCOL) ? NODE_PROTOCOL : false),
  })
  server.on('wsClientError', (_error, socket) => answerRaw(socket, 'invalid_request', 'the upgrade is not a valid WebSocket handshake'))

  const open = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const host = request.headers.host?.toLowerCase()
    const address = request.socket.remoteAddress ?? ''
    const hosts = parts.publicHosts.length > 0 ? parts.publicHosts : host === undefined ? [] : [host]
    server.handleUpgrade(request, socket, head, (ws) => {
      const id = ++lastId
      handshakes++
      count(address, 1)
      const session = openNodeSession({
        id,
        socket: ws,
        hosts,
        send: parts.send,
        time: parts.time,
        maxMessageBytes: parts.maxMessageBytes,
        maxMessagesPerSecond: parts.maxMessagesPerSecond,
        onHandshakeEnd: () => handshakes--,
        onClose() {
          sessions.delete(id)
          count(address, -1)
        },
      })
      sessions.set(id, session)
    })
  }

  return {
    upgrade(request: IncomingMessage, socket: Duplex, head: Buffer) {
      socket.on('error', () => socket.destroy()) // it went away in the middle of the handshake
      const path = (request.url ?? '').split('?')[0]
      const offered = request.headers['sec-websocket-protocol']?.split(',').map((p) => p.trim())
      if (path !== NODE_PATH) return answerRaw(socket, 'not_found', `there are no sessions at ${path}; nodes connect at ${NODE_PATH}`)
      if (stopping) return answerRaw(socket, 'stopping', 'the service is stopping; connect again in a few seconds')
      if (offered !== undefined && !offered.includes(NODE_PROTOCOL)) {
        return answerRaw(socket, 'invalid_request', `Sec-WebSocket-Protocol: this service speaks ${NODE_PROTOCOL} only`)
      }
      if (handshakes >= parts.maxHandshakes) return answerRaw(socket, 'unavailable', 'too many sessions are waiting for their hello; connect again in a few seconds')
      if (sessions.size >= parts.maxSessions) return answerRaw(socket, 'unavailable', `the service has ${parts.maxSessions} sessions, the most it takes; connect again later`)
      const address = request.socket.remoteAddress ?? ''
      if (!isLocal(address) && (perAddress.get(address) ?? 0) >= parts.maxSessionsPerAddress) {
        return answerRaw(socket, 'rate_limited', `${address} has ${parts.maxSessionsPerAddress} sessions, the most one address may have; close one, or serve more models and slots over one`)
      }
      open(request, socket, head)
    },

    /** Sends what a turn released: to each session all of it at once. */
    deliver(effects: readonly Effect[]) {
      const touched = new Set<NodeSession>()
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

    /** Also closes what has not said hello yet: a node welcomed after this would not be told that the service stops. */
    refuseNew() {
      stopping = true
      for (const session of sessions.values()) {
        if (session.inHandshake) session.close('stopping', 'the service is stopping')
      }
    },

    size: () => sessions.size,

    closeAll(reason: CloseReason, text: string) {
      for (const session of sessions.values()) session.close(reason, text)
    },
  }
}
