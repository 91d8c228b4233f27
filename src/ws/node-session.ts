import { randomBytes } from 'node:crypto'
import type { WebSocket } from 'ws'
import type { Turns } from '../core/turns.js'
import { toSeconds, type TimeSource } from '../lib/clock.js'
import { createRate } from '../lib/rate.js'
import type { ClientAnswer } from '../wire/client.js'
import { helloText, normalizeKey, verifySignature } from '../wire/keys.js'
import { parseNodeMessage, splitFrame, type Hello, type ServerMessage } from '../wire/node.js'
import type { Session } from './session.js'
import { createOutgoing } from './socket.js'

/** How long a node may take to say hello, ms. */
export const HELLO_TIMEOUT = 10_000
/** A session that has sent more wrong messages than this is closed. */
const MAX_MISTAKES = 10

export interface NodeSessionParts {
  id: number
  socket: WebSocket
  /** The hosts a hello may be signed for. */
  hosts: readonly string[]
  send: Turns['send']
  time: TimeSource
  maxMessageBytes: number
  maxMessagesPerSecond: number
  /** Called once, when the handshake is over: by a hello or by the end of the socket. */
  onHandshakeEnd(): void
  onClose(): void
}

/**
 * The door of one node: parses frames into operations of the core. It decides nothing about tasks; what the core answers
 * comes back as effects.
 */
export function openNodeSession(parts: NodeSessionParts): Session {
  const { id, socket, send, time } = parts
  const out = createOutgoing<ServerMessage | ClientAnswer>(socket, parts.maxMessageBytes)
  const nonce = randomBytes(32).toString('hex')
  const withinRate = createRate(parts.maxMessagesPerSecond, () => time.monotonic())
  let state: 'challenged' | 'open' | 'closing' = 'challenged'
  let mistakes = 0
  let closedByUs = false

  const endHandshake = (): void => {
    clearTimeout(helloTimer)
    parts.onHandshakeEnd()
  }
  const close: Session['close'] = (reason, text) => {
    if (state === 'closing') return
    if (state === 'challenged') endHandshake()
    state = 'closing'
    closedByUs = true
    out.close(reason, text)
  }
  const helloTimer = setTimeout(() => close('unauthorized', 'no hello within 10 s'), HELLO_TIMEOUT)

  const mistake = (code: 'invalid_message' | 'unknown_type', message: string): void => {
    out.push({ type: 'error', code, message })
    out.flush()
    mistakes++
    send({ op: 'seen', session: id })
    if (mistakes > MAX_MISTAKES) close('invalid', 'too many messages that do not fit the protocol')
  }

  const greet = (hello: Hello): void => {
    const key = normalizeKey(hello.public_key)
    const problem =
      key === null
        ? 'public_key: must be a secp256k1 public key, 33 bytes compressed, in hex'
        : parts.hosts.some((host) => verifySignature(key, helloText(hello.node_id, host, nonce), hello.signature))
          ? null
          : `signature: is not by this key over inference-node.v1:<node_id>:<host>:<nonce> with host ${parts.hosts.join(' or ')}`
    if (key === null || problem !== null) {
      out.push({ type: 'error', code: 'unauthorized', message: problem ?? '' })
      return close('unauthorized', problem ?? '')
    }
    endHandshake()
    state = 'open'
    out.batch = hello.batch
    send({ op: 'hello', session: id, hello, key })
  }

  const take = (value: unknown): void => {
    if (state === 'closing') return
    if (!withinRate()) {
      out.push({ type: 'error', code: 'rate_limited', message: `more than ${parts.maxMessagesPerSecond} messages a second` })
      return close('tooMany', 'too many messages')
    }
    const parsed = parseNodeMessage(value)
    if (state === 'challenged') {
      if (parsed.ok && parsed.message.type === 'session.hello') return greet(parsed.message)
      const problem = parsed.ok ? 'the first message must be session.hello' : parsed.problem
      out.push({ type: 'error', code: parsed.ok ? 'invalid_message' : parsed.code, message: problem })
      return close('unauthorized', problem)
    }
    if (!parsed.ok) return mistake(parsed.code, parsed.problem)
    if (parsed.message.type === 'session.hello') return mistake('invalid_message', 'session.hello: this session is open already')
    send({ op: 'message', session: id, message: parsed.message })
  }

  socket.on('message', (data: Buffer, isBinary) => {
    if (state === 'closing') return
    if (isBinary) return close('binary', 'frames must be text')
    const values = splitFrame(data.toString())
    if (values !== null) return values.forEach(take)
    if (state === 'challenged') return close('unauthorized', 'the first message must be session.hello')
    mistake('invalid_message', 'a frame must be a JSON object, or an array of 1 to 256 of them')
  })
  // A protocol error or a frame over the limit: ws has closed with the right code, 'close' follows.
  socket.on('error', () => {
    closedByUs = true
  })
  socket.on('close', (code) => {
    if (state === 'challenged') endHandshake()
    state = 'closing'
    send({ op: 'disconnect', session: id, returned: code === 1000 && !closedByUs })
    parts.onClose()
  })

  out.push({ type: 'session.challenge', protocol: 1, nonce, server_time: toSeconds(time.wall()) })
  out.flush()
  return {
    get batch() {
      return out.batch
    },
    get inHandshake() {
      return state === 'challenged'
    },
    push: (message) => out.push(message),
    flush: () => out.flush(),
    close,
    // The core tells its nodes to drain, and looks at their heartbeats.
    drain: () => undefined,
    check: () => undefined,
  }
}
