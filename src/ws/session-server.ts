import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { WebSocketServer, type WebSocket } from 'ws'
import type { SubmissionStep } from '../chain/preparation.js'
import type { Comeback, Effect } from '../core/operations.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { Budget } from '../lib/budget.js'
import type { TimeSource } from '../lib/clock.js'
import type { TimeShares } from '../lib/time-shares.js'
import type { Remote, Remotes } from '../door/remote.js'
import type { Who } from '../door/who.js'
import type { Logger } from '../lib/log.js'
import { answerRaw } from '../lib/raw-answer.js'
import { refuse, type Refusal } from '../lib/result.js'
import { CLIENT_PATH } from '../wire/client-answers.js'
import type { CloseReason } from '../wire/codes.js'
import { createAdmission, pathOf, protocols } from './admission.js'
import type { SessionAccess } from './client-access.js'
import { createWatchGate } from './client-requests.js'
import { openClientSession, type ClientDoor } from './client-session.js'
import { createGuard } from './guard.js'
import { createHandshakeThrottle } from './handshake-throttle.js'
import { createInbounds } from './inbound.js'
import type { NodeDoor, NodeSessionParts } from './node-handshake.js'
import { NodeSession } from './node-session.js'
import { createRivals } from './rivals.js'
import type { SocketSession } from './session.js'
import { createUnproven } from './unproven.js'
import { createUnsent } from './unsent.js'
import { createWrongMessages } from './wrong-messages.js'

/** How often submitters are asked whether they are still there, ms. Who has not answered by the next time is closed. */
const PING_INTERVAL_MS = 30_000
/** How often it is looked what is unfinished and what was read, ms. */
const TICK_MS = 1000

/**
 * The hosts that a hello may be signed for. Where TLS ends here, a node dials our own port: it is part of what it signs, and
 * `public_hosts` need not repeat it.
 */
const signedFor = (hosts: readonly string[], connection: Socket): readonly string[] =>
  connection instanceof TLSSocket
    ? hosts.flatMap((host) => (/:\d+$/.test(host) ? [host] : [host, `${host}:${connection.localPort}`]))
    : hosts

export interface SessionServerParts extends SessionAccess {
  who: Who
  send: Scheduler['send']
  time: TimeSource
  log: Pick<Logger, 'error'>
  maxMessageBytes: number
  maxMessagesPerSecond: number
  maxHandshakes: number
  maxHandshakesPerAddress: number
  maxSessions: number
  maxSessionsPerAddress: number
  maxUpgradesPerSecond: number
  remotes: Remotes
  /** Bytes of messages that are not whole yet. */
  receiving: Budget
  /** Bytes that wait for their readers. */
  unsent: Budget
  /** Time of the event loop. */
  shares: TimeShares
  /** Empty: a hello is signed for the Host header that came with the upgrade. */
  publicHosts: readonly string[]
  /** Told of sessions that begin and end, with their close code, and of submissions that were refused in one. */
  figures?: SessionFigures
  /** A connection is a session's that has proven its key, or has said something valid. */
  onProven?: (socket: Socket) => void
  /** Another number each time. */
  nextSession: () => number
  /** What is done with submissions before the core sees them; null: nothing. */
  prepare?: SubmissionStep | null
  /** ms */
  pingInterval?: number
}

/** Who counts sessions. */
export interface SessionFigures {
  opened(kind: 'node' | 'client'): void
  ended(kind: 'node' | 'client', code: number): void
  countRefused(code: string): void
}

export type SessionServer = ReturnType<typeof createSessionServer>

/** All sessions of the service: takes upgrades, and delivers what the core sends. */
export function createSessionServer(parts: SessionServerParts) {
  const { send, time, maxMessageBytes, maxMessagesPerSecond } = parts
  const now = (): number => time.monotonic()
  const sessions = new Map<number, SocketSession>()
  let stopping = false
  const guard = createGuard(parts.log)
  const admission = createAdmission({ ...parts, now })
  const unproven = createUnproven(parts.maxHandshakes, parts.maxHandshakesPerAddress, now)
  const inbounds = createInbounds(parts.receiving, now, guard)
  const unsent = createUnsent(parts.unsent, now)
  const nodeDoor: NodeDoor = {
    send,
    time,
    maxMessageBytes,
    maxMessagesPerSecond,
    throttle: createHandshakeThrottle(),
    receiving: parts.receiving,
    rivals: createRivals(guard),
    unsent,
    shares: parts.shares,
    wrongMessages: createWrongMessages(now),
    guard,
  }
  const clientDoor: ClientDoor = {
    send,
    time,
    maxMessageBytes,
    maxMessagesPerSecond,
    gate: createWatchGate(now),
    unsent,
    shares: parts.shares,
    guard,
    access: parts,
    accessChecks: new Set(),
    prepare: parts.prepare ?? null,
    onRefused: (code) => parts.figures?.countRefused(code),
  }
  const server = new WebSocketServer({
    noServer: true,
    // A deflate context costs a quarter of a megabyte a session.
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    clientTracking: false,
    handleProtocols: (offered, request) => [protocols.get(pathOf(request)) ?? ''].find((p) => offered.has(p)) ?? false,
  })
  server.on('wsClientError', (_error, socket) =>
    answerRaw(socket, refuse('invalid_request', 'the upgrade is not a valid WebSocket handshake')),
  )

  /** Does something with every session; what fails with one ends that one. */
  const each = (step: (session: SocketSession) => void): void => {
    for (const session of sessions.values()) guard.attempt(session, () => step(session))
  }
  /** One timer for all; the core knows of nodes by their heartbeats. */
  const pings = setInterval(() => each((session) => session.check()), parts.pingInterval ?? PING_INTERVAL_MS)
  /** One of these that fails keeps none of the others from its turn. */
  const checks = [() => inbounds.check(), () => unsent.check(), () => clientDoor.gate.tellAll()].map(guard.logged)
  const ticks = setInterval(() => {
    for (const check of [...checks, ...clientDoor.accessChecks]) check()
  }, TICK_MS)
  pings.unref()
  ticks.unref()

  // Made where the request is not known: what a session keeps would keep it, and its headers, for as long.
  const begin = (
    socket: WebSocket,
    raw: Duplex,
    connection: Socket,
    { address = '', keys: from }: Remote,
    kind: 'node' | 'client',
    open: (own: Own) => SocketSession,
  ): void => {
    parts.figures?.opened(kind)
    socket.once('close', (code) => parts.figures?.ended(kind, code))
    const id = parts.nextSession()
    const onHeard = (): void => void unproven.remove(session)
    const onProven = (): void => {
      onHeard()
      parts.onProven?.(connection)
    }
    const onClose = (): void => {
      admission.release(from) // first: the rest is not there where its opening failed
      sessions.delete(id)
      unproven.remove(session)
      inbound.end()
    }
    const session = open({
      id,
      socket,
      raw,
      address: address === '' ? null : address,
      from,
      onHeard,
      onProven,
      onClose,
    })
    const inbound = inbounds.open(from, session, raw)
    sessions.set(id, session)
    unproven.add(session, from[0]?.key ?? address, from.length > 0)
  }
  const openNode = (own: Own, host: string | undefined, connection: Socket): SocketSession => {
    const hosts =
      parts.publicHosts.length > 0 ? signedFor(parts.publicHosts, connection) : host === undefined ? [] : [host]
    return new NodeSession(nodeDoor, { ...own, hosts })
  }

  const refuseUpgrade = (raw: Duplex, refusal: Refusal): void => {
    parts.tally.answered(refusal.code)
    answerRaw(raw, refusal)
  }

  return {
    upgrade(request: IncomingMessage, raw: Duplex, head: Buffer) {
      raw.on('error', drop) // it went away in the middle of the handshake
      const remote = parts.remotes.of(request)
      const identified = parts.who.ofRequest(request.headers, remote)
      if (!identified.ok) return refuseUpgrade(raw, identified)
      const refusal = admission.refusal(request, remote.keys, stopping)
      if (refusal !== null) return refuseUpgrade(raw, refusal)
      const connection = request.socket
      const isClient = pathOf(request) === CLIENT_PATH
      const host = remote.host?.toLowerCase()
      let began = false
      server.handleUpgrade(request, raw, head, (socket) => {
        began = true
        begin(socket, raw, connection, remote, isClient ? 'client' : 'node', (own) =>
          isClient
            ? openClientSession(clientDoor, { ...own, identified: identified.value, remote })
            : openNode(own, host, connection),
        )
      })
      // Whatever was wrong with it, ws has answered.
      if (!began) admission.release(remote.keys)
    },

    /** Sends what a turn released: to each session all of it at once, and to nodes first, whose work begins then. */
    deliver(effects: readonly Effect[]) {
      const toNodes = new Set<SocketSession>()
      const toClients = new Set<SocketSession>()
      for (const effect of effects) {
        const session = sessions.get(effect.session)
        if (session === undefined) continue
        const touched = session instanceof NodeSession ? toNodes : toClients
        guard.attempt(session, () => {
          if ('close' in effect) {
            touched.delete(session)
            session.close(effect.close, effect.reason)
          } else {
            session.push(effect.message)
            touched.add(session)
          }
        })
      }
      for (const touched of [toNodes, toClients])
        for (const session of touched) guard.attempt(session, () => session.flush())
    },

    /**
     * Tells submitters that the service stops; the core tells the nodes. Also closes what has not said hello yet: a node
     * welcomed after this would not be told.
     */
    refuseNew(comeback: Comeback) {
      stopping = true
      each((session) =>
        session.inHandshake ? session.close('stopping', 'the service is stopping') : session.drain(comeback),
      )
    },

    size: () => sessions.size,

    closeAll(reason: CloseReason, text: string) {
      clearInterval(pings)
      clearInterval(ticks)
      each((session) => session.close(reason, text))
    },
  }
}

/** What every session has. */
type Own = Omit<NodeSessionParts, 'hosts'>

/** One for all sockets: they keep it for as long as they live. */
function drop(this: Duplex): void {
  this.destroy()
}
