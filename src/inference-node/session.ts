import { WebSocket } from 'ws'
import { helloText } from '../wire/keys.js'
import { NODE_PROTOCOL, parseServerMessage, splitFrame, type NodeMessage, type ServerMessage } from '../wire/node.js'
import type { Address } from './address.js'
import { explainDialError, readDialAnswer } from './dial-error.js'
import { createFrames, encode, type Encoded } from './frames.js'
import type { Identity } from './identity.js'

export type Welcome = Extract<ServerMessage, { type: 'session.welcome' }>
/** What is handed on: the handshake and the heartbeats stay inside. */
export type WorkMessage = Exclude<
  ServerMessage,
  { type: 'session.challenge' | 'session.welcome' | 'node.heartbeat_ack' }
>
/** A hello but for what the session adds: the key, the signature, and that it takes arrays. */
export type HelloBody = Omit<
  Extract<NodeMessage, { type: 'session.hello' }>,
  'type' | 'public_key' | 'signature' | 'batch'
>

/** How a session came to its end. */
export interface SessionEnd {
  /** The close code; 1006 for a connection that was lost, never made, or given up by the node. */
  code: number
  reason: string
  welcomed: boolean
  /** How long it was open after the welcome, ms. */
  lasted: number
  /** What the coordinator asked for in its session.drain, seconds. */
  reconnectAfter: number | null
  /** The URL where the coordinator says that the session is to be held instead; null where it has named none. */
  elsewhere: string | null
}

export interface SessionParts {
  address: Address
  identity: Identity
  /** For everything up to the welcome, ms; of that at least 5 s for the answer to the hello. */
  connectTimeout: number
  /** What the hello says; asked when it is sent. */
  hello(): HelloBody
  heartbeat(): Extract<NodeMessage, { type: 'node.heartbeat' }>
  onWelcome(welcome: Welcome): void
  onMessage(message: WorkMessage): void
  /** A frame has left: there is room again. */
  onWritten(): void
  onWarning(message: string): void
  onEnd(end: SessionEnd): void
}

export interface Session {
  readonly welcomed: boolean
  /** The most bytes a message may have. */
  readonly maxMessageBytes: number
  /** Bytes that have not left yet. */
  buffered(): number
  /** Sends with the rest of this turn. Nothing is sent before the welcome or after the end. */
  send(message: Encoded): void
  /** Sends what waits, then closes; the connection is cut after 2 s without an answer. */
  close(code: 1000 | 1001, reason: string): void
}

/** Until a welcome has said it. */
export const DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
/** A frame of the coordinator may hold many prompts; more than this is no coordinator. */
const MAX_FRAME_BYTES = 256 * 1024 * 1024
const MAX_MISTAKES = 10
const SILENT_HEARTBEATS = 3
/** The least: before it answers, the coordinator asks for up to 2 s whether a session that it has of this node still lives. */
const HELLO_TIMEOUT_MS = 5000
const CLOSE_TIMEOUT_MS = 2000
const LOST_CODE = 1006

/** One session with the coordinator, from dialling to its end. `onEnd` is called once, and nothing after it. */
export function openSession(parts: SessionParts): Session {
  const { address, identity } = parts
  const socket = new WebSocket(address.url, NODE_PROTOCOL, { perMessageDeflate: false, maxPayload: MAX_FRAME_BYTES })
  const frames = createFrames(
    () => maxMessageBytes,
    (frame) => socket.send(frame, (error) => (error == null ? parts.onWritten() : undefined)), // an error comes as 'close' too
  )
  let state: 'dialling' | 'greeted' | 'open' | 'ended' = 'dialling'
  let maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES
  let welcomedAt = 0
  let reconnectAfter: number | null = null
  let elsewhere: string | null = null
  let said = '' // the coordinator's last error: it tells why it closes
  let given = '' // why the node itself gave the session up
  let mistakes = 0
  let silent = 0
  let heartbeats: NodeJS.Timeout | undefined
  let closing: NodeJS.Timeout | undefined

  const giveUp = (why: string): void => {
    if (given === '') given = why
    socket.terminate()
  }
  const dialledAt = performance.now()
  let opening = setTimeout(() => giveUp(`no welcome within ${parts.connectTimeout / 1000} s`), parts.connectTimeout)

  const mistake = (problem: string): void => {
    parts.onWarning(`the coordinator sent what does not fit the protocol: ${problem}`)
    if (++mistakes > MAX_MISTAKES) giveUp('too many messages that do not fit the protocol')
  }

  const beat = (): void => {
    // Counted in beats and not by the clock: a machine that was asleep has not been left by its coordinator.
    if (silent >= SILENT_HEARTBEATS) return giveUp(`no message for ${SILENT_HEARTBEATS} heartbeat intervals`)
    silent++
    frames.push(encode(parts.heartbeat()))
  }

  const greet = (nonce: string): void => {
    if (state !== 'dialling') return mistake('a second challenge')
    state = 'greeted'
    clearTimeout(opening)
    const left = parts.connectTimeout - (performance.now() - dialledAt)
    opening = setTimeout(() => giveUp('no answer to the hello'), Math.max(left, HELLO_TIMEOUT_MS))
    const hello = parts.hello()
    const signature = identity.sign(helloText(hello.node_id, address.host, nonce))
    const message: NodeMessage = {
      type: 'session.hello',
      ...hello,
      public_key: identity.publicKey,
      signature,
      batch: true,
    }
    frames.push(encode(message))
    frames.flush()
  }

  const welcome = (message: Welcome): void => {
    if (state !== 'greeted') return mistake('a welcome nobody waits for')
    clearTimeout(opening)
    state = 'open'
    welcomedAt = performance.now()
    maxMessageBytes = message.max_message_bytes
    heartbeats = setInterval(beat, Math.min(Math.max(message.heartbeat_interval, 0.02), 3600) * 1000)
    parts.onWelcome(message)
  }

  const take = (value: unknown): void => {
    if (state === 'ended' || given !== '') return
    const parsed = parseServerMessage(value)
    if (!parsed.ok) return parsed.code === 'unknown_type' ? undefined : mistake(parsed.problem) // newer types are for newer nodes
    const { message } = parsed
    if (message.type === 'session.challenge') return greet(message.nonce)
    if (message.type === 'session.welcome') return welcome(message)
    if (message.type === 'node.heartbeat_ack') return
    if (message.type === 'error') said = `${message.code}: ${message.message}`
    if (message.type === 'session.drain') {
      reconnectAfter = message.reconnect_after
      elsewhere = message.reconnect_to ?? null
    }
    if (state === 'open') parts.onMessage(message)
  }

  socket.on('message', (data: Buffer, isBinary) => {
    silent = 0
    if (isBinary) return mistake('a binary frame')
    const frame = splitFrame(data.toString())
    if (frame.ok) frame.values.forEach(take)
    else mistake(`a frame that cannot be taken: ${frame.problem}`)
  })
  let connected = false
  socket.on('open', () => (connected = true))
  socket.on('unexpected-response', (_request, answer) => {
    void readDialAnswer(address, answer).then(({ why, owner }) => {
      elsewhere = owner
      giveUp(why)
    })
  })
  // 'close' follows. Its code may then be the one that the node itself closed with, which says nothing about the node.
  socket.on('error', (error) => {
    if (given !== '') return
    given = connected ? `the connection was lost (${error.message})` : explainDialError(address, error)
  })
  socket.on('close', (code, reason) => {
    clearTimeout(opening)
    clearInterval(heartbeats)
    clearTimeout(closing)
    frames.clear()
    const welcomed = state === 'open'
    state = 'ended'
    const why =
      given !== '' ? given : ([reason.toString(), said].find((text) => text !== '') ?? 'the connection was lost')
    parts.onEnd({
      code: given === '' ? code : LOST_CODE,
      reason: why,
      welcomed,
      lasted: welcomed ? performance.now() - welcomedAt : 0,
      reconnectAfter,
      elsewhere,
    })
  })

  return {
    get welcomed() {
      return state === 'open'
    },
    get maxMessageBytes() {
      return maxMessageBytes
    },
    buffered: () => socket.bufferedAmount + frames.bytes,
    send(message) {
      if (state === 'open' && socket.readyState === WebSocket.OPEN) frames.push(message)
    },
    close(code, reason) {
      if (state === 'ended' || closing !== undefined) return
      if (socket.readyState !== WebSocket.OPEN) return giveUp(reason)
      frames.flush()
      socket.close(code, reason)
      closing = setTimeout(() => giveUp(reason), CLOSE_TIMEOUT_MS)
    },
  }
}
