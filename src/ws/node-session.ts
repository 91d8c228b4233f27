import { randomBytes } from 'node:crypto'
import type { WebSocket } from 'ws'
import type { AddressKeys } from '../lib/address.js'
import { toSeconds } from '../lib/clock.js'
import { Rate } from '../lib/rate.js'
import type { ClientAnswer } from '../wire/client-answers.js'
import type { CloseReason } from '../wire/codes.js'
import {
  MAX_HELLO_BYTES,
  parseNodeMessage,
  parseProof,
  splitFrame,
  type Frame,
  type Hello,
  type ServerMessage,
} from '../wire/node.js'
import {
  createHandshake,
  createPending,
  HELLO_TIMEOUT_MS,
  lateHello,
  onSignOfLife,
  secondOf,
  verifyProof,
  type Handshake,
  type NodeDoor,
  type NodeSessionParts,
  type Pending,
} from './node-handshake.js'
import { afterOrder, createMessageOrder, type MessageOrder } from './message-order.js'
import { isSigned } from './result-signature.js'
import type { Rival } from './rivals.js'
import { BYTES_A_MESSAGE, MAX_MISTAKES, type SocketSession } from './session.js'
import { FrameLine } from './frame-line.js'
import { createOutgoing, type Outgoing } from './socket-writer.js'
import { saysWrong } from './wrong-messages.js'

const NO_HELLO = 'the first message must be session.hello'

/**
 * The door of one node: parses frames into operations of the core. It decides nothing about tasks; what the core answers
 * comes back as effects. A class, for there are thousands of them.
 */
export class NodeSession implements SocketSession, Rival {
  /** Who it is; empty until its hello was verified. */
  nodeId = ''
  key = ''
  readonly #door: NodeDoor
  readonly #id: number
  readonly #socket: WebSocket
  readonly #out: Outgoing<ServerMessage | ClientAnswer>
  readonly #rate: Rate
  readonly #line: FrameLine
  readonly #from: AddressKeys
  #state: 'challenged' | 'open' | 'closing' = 'challenged'
  #handshake: Handshake | null
  /** Since its first signed result; before that nothing has to wait. */
  #order: MessageOrder | null = null
  #mistakes = 0
  #closedByUs = false

  constructor(door: NodeDoor, parts: NodeSessionParts) {
    const { id, socket, raw, from, onClose } = parts
    this.#door = door
    this.#id = id
    this.#socket = socket
    this.#from = from
    const { maxMessageBytes: maxFrameBytes, unsent, shares, guard } = door
    this.#out = createOutgoing(socket, { maxFrameBytes, unsent, shares, guard, keys: from, raw })
    this.#rate = new Rate(door.maxMessagesPerSecond, door.time.monotonic())
    const nonce = randomBytes(32).toString('hex')
    this.#handshake = createHandshake(parts, nonce, setTimeout(lateHello, HELLO_TIMEOUT_MS, this))
    const guarded = guard.guarded((reason, text) => this.close(reason, text))
    this.#line = new FrameLine({ socket, keys: from, shares, guarded })
    socket.on(
      'message',
      guarded((data: Buffer, isBinary: boolean) => this.#frame(data, isBinary)),
    )
    // A protocol error or a frame over the limit: ws has closed with the right code, 'close' follows.
    socket.on('error', () => void (this.#closedByUs = true))
    socket.on(
      'close',
      guarded((code: number) =>
        this.#line.add(() => {
          onClose()
          this.#out.gone()
          const returned = code === 1000 && !this.#closedByUs
          afterOrder(this.#order, () => {
            door.send({ op: 'nodeDisconnected', session: id, returned })
            this.#leave() // who waits for that comes in behind it
          })
        }),
      ),
    )
    this.#out.push({ type: 'session.challenge', protocol: 1, nonce, server_time: toSeconds(door.time.wall()) })
    this.#out.flush()
  }

  get batch(): boolean {
    return this.#out.batch
  }

  get inHandshake(): boolean {
    return this.#state === 'challenged'
  }

  get maxIncoming(): number {
    const { maxMessageBytes } = this.#door
    return this.#handshake?.pending === null ? Math.min(MAX_HELLO_BYTES, maxMessageBytes) : maxMessageBytes
  }

  get isPaused(): boolean {
    return this.#socket.isPaused
  }

  received(bytes: number): void {
    this.#line.received(bytes)
  }

  gone(): void {
    this.#out.gone()
  }

  push(message: ServerMessage | ClientAnswer): void {
    this.#out.push(message)
    if (this.#state === 'open' && saysWrong(message) && !this.#door.wrongMessages(this.nodeId, this.#from))
      this.#tooMany("too many messages about attempts that are not the node's")
  }

  flush(): void {
    this.#out.flush()
  }

  close(reason: CloseReason, text: string): void {
    if (this.#state === 'closing') return
    this.#closedByUs = true
    this.#out.close(reason, text)
    this.#leave()
    this.#line.hold(false) // to see its answer, and its end
  }

  listen(heard: () => void): () => void {
    return onSignOfLife(this.#socket, heard)
  }

  // The core tells its nodes to drain, and looks at their heartbeats.
  drain(): void {}
  check(): void {}

  /** The time for the hello is over. */
  late(): void {
    this.#door.guard.attempt(this, () => {
      if (this.#handshake?.pending === null) this.close('unauthorized', 'no hello within 10 s')
    })
  }

  #leave(): void {
    const wasOpen = this.#state === 'open'
    this.#state = 'closing'
    this.#endHandshake()
    if (wasOpen) this.#door.rivals.leave(this)
  }

  #endHandshake(): void {
    if (this.#handshake === null) return
    clearTimeout(this.#handshake.timeout)
    this.#handshake.stopWaiting()
    const { from, pending } = this.#handshake
    if (pending !== null) this.#door.receiving.give(from, pending.counted)
    this.#handshake = null
  }

  #mistake(code: 'invalid_message' | 'unknown_type', message: string): void {
    this.#out.push({ type: 'error', code, message })
    this.#out.flush()
    this.#mistakes++
    this.#door.send({ op: 'nodeSeen', session: this.#id })
    if (this.#mistakes > MAX_MISTAKES) this.close('invalid', 'too many messages that do not fit the protocol')
  }

  #refuse(code: 'invalid_message' | 'unknown_type' | 'unauthorized', problem: string): void {
    this.#out.push({ type: 'error', code, message: problem })
    this.close('unauthorized', problem)
  }

  /** The first frame has come. It is read and verified in its turn, and what comes after it is pending until then. */
  #greeted(handshake: Handshake, data: Buffer): void {
    clearTimeout(handshake.timeout)
    handshake.onHeard()
    const { guard, receiving, shares, throttle } = this.#door
    const pending = createPending(data)
    handshake.pending = pending
    receiving.add(handshake.from, pending.counted) // it was counted as it came, and is there still
    this.#line.hold(true) // no more than this chunk comes behind it
    const prove = (): void => guard.attempt(this, () => this.#prove())
    throttle(() => shares.run(handshake.from, prove), handshake.from[0]?.key ?? null)
  }

  #prove(): void {
    const handshake = this.#handshake
    const pending = handshake?.pending ?? null
    if (handshake === null || pending === null || pending.first === null) return // it is gone, or we are
    const { first: data } = pending
    pending.first = null
    if (this.#isMuch(data)) return
    const frame = splitFrame(data.toString())
    if (!frame.ok) return this.close('unauthorized', `${NO_HELLO}: ${frame.problem}`)
    if (!this.#within(1)) return
    const [first, ...rest] = frame.values
    pending.values = rest
    const proof = parseProof(first)
    if (!proof.ok) return this.#refuse('invalid_message', `${NO_HELLO}: ${proof.problem}`)
    const proven = verifyProof(handshake, proof.message)
    if ('problem' in proven) return this.#refuse('unauthorized', proven.problem)
    // Only now the rest of it is looked at.
    const hello = parseNodeMessage(first)
    if (!hello.ok) return this.#refuse(hello.code, hello.problem)
    if (hello.message.type === 'session.hello') this.#welcome(handshake, pending, hello.message, proven.key)
  }

  /** Lets a node in whose hello was verified, or asks first whether an older session of it is alive. */
  #welcome(handshake: Handshake, pending: Pending, hello: Hello, key: string): void {
    const guarded = this.#door.guard.guarded((reason, text) => this.close(reason, text))
    const open = guarded((): void => {
      this.#open(handshake, hello, key)
      for (const value of pending.values) this.#take(value)
      for (const { data, isBinary } of pending.frames) this.#frame(data, isBinary)
      this.#line.hold(false)
    })
    if (hello.take_over) return open()
    const told = guarded((alive: boolean) => {
      if (!alive) return open()
      const { message, reason } = secondOf(hello.node_id)
      this.#out.push({ type: 'error', code: 'unauthorized', message })
      this.close('replaced', reason)
    })
    handshake.stopWaiting = this.#door.rivals.probe({ nodeId: hello.node_id, key }, told)
  }

  #open({ address, from, onProven }: Handshake, hello: Hello, key: string): void {
    this.#endHandshake()
    onProven()
    this.#state = 'open'
    this.nodeId = hello.node_id
    this.key = key
    this.#door.rivals.join(this)
    this.#out.batch = hello.batch
    this.#door.send({ op: 'nodeHello', session: this.#id, hello, key, from, address }, from)
  }

  #within(n: number): boolean {
    const { maxMessagesPerSecond, time } = this.#door
    if (this.#rate.take(maxMessagesPerSecond, time.monotonic(), n)) return true
    this.#tooMany(`more than ${maxMessagesPerSecond} messages a second`)
    return false
  }

  /** Whether a frame is more than the session may send. */
  #isMuch({ length }: Buffer): boolean {
    return length > BYTES_A_MESSAGE && !this.#within(Math.floor(length / BYTES_A_MESSAGE))
  }

  #tooMany(message: string): void {
    this.#out.push({ type: 'error', code: 'rate_limited', message })
    this.close('tooMany', 'too many messages')
  }

  #take(value: unknown): void {
    if (this.#state === 'closing' || !this.#within(1)) return
    const parsed = parseNodeMessage(value)
    if (!parsed.ok) return this.#mistake(parsed.code, parsed.problem)
    if (parsed.message.type === 'session.hello')
      return this.#mistake('invalid_message', 'session.hello: this session is open already')
    const { message } = parsed
    if (isSigned(message)) this.#order ??= createMessageOrder(this.#door, this.#id, this, this.#from, this.#line)
    if (this.#order === null) this.#door.send({ op: 'nodeMessage', session: this.#id, message }, this.#from)
    else this.#order.take(message)
  }

  #frame(data: Buffer, isBinary: boolean): void {
    if (this.#state === 'closing') return
    const handshake = this.#handshake
    if (handshake !== null && handshake.pending !== null) return void handshake.pending.frames.push({ data, isBinary })
    if (handshake === null) return this.#line.add(() => this.#read(data, isBinary))
    if (isBinary) return this.close('binary', 'frames must be text')
    this.#greeted(handshake, data)
  }

  #read(data: Buffer, isBinary: boolean): void {
    if (this.#state === 'closing') return
    if (isBinary) return this.close('binary', 'frames must be text')
    if (!this.#isMuch(data)) this.#line.parse(data, (frame) => this.#takeAll(frame))
  }

  #takeAll(frame: Frame): void {
    if (this.#state === 'closing') return
    if (frame.ok) for (const value of frame.values) this.#take(value)
    else this.#mistake('invalid_message', frame.problem)
  }
}
