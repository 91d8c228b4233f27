import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { closeCodes, type CloseReason } from '../wire/codes.js'
import type { AddressKeys } from '../lib/address.js'
import { MAX_FRAME_MESSAGES } from '../wire/messages.js'
import type { ServerMessage } from '../wire/node.js'
import { writeMs, type TimeShares } from '../lib/time-shares.js'
import type { Guard } from './guard.js'
import { COUNTED_FROM_BYTES, type Reader, type Unsent } from './unsent.js'

/** With more unsent bytes than this a reader has to read on, or its socket is dropped. */
const MAX_UNSENT_BYTES = 32 * 1024 * 1024
/** In every so many ms what is unsent has to become less. */
const READ_WITHIN_MS = 5000
/** How long the other side may take to answer a close, ms. */
const CLOSE_TIMEOUT_MS = 2000
/** The same for one that has fallen behind: the close comes after all that waits for it. */
const SLOW_CLOSE_TIMEOUT_MS = 10_000

/** Sends messages over a socket; those of one commit as one frame where the reader takes arrays. */
export interface Outgoing<M> {
  /** The reader takes arrays. */
  batch: boolean
  push(message: M): void
  flush(): void
  close(reason: CloseReason, text: string): void
  /** The socket is gone: nothing waits for its reader any more. */
  gone(): void
}

/** How much may wait for a reader, and what becomes of one that is too slow. */
export interface ReaderLimits {
  /** With more unsent bytes than this a reader has to read on: in every READ_WITHIN it has to become less. */
  soft: number
  /** With more unsent bytes than this it is too slow at once. */
  hard: number
  /** Without it the socket is dropped. */
  tooSlow?: () => void
}

const NODE_LIMITS: ReaderLimits = { soft: MAX_UNSENT_BYTES, hard: Infinity }

export interface OutgoingParts {
  /** No array frame is larger: the reader may refuse one that is. */
  maxFrameBytes: number
  unsent: Unsent
  shares: Pick<TimeShares, 'charge'>
  guard: Guard
  /** Who the reader's address counts as. */
  keys: AddressKeys
  limits?: ReaderLimits
  /** What the socket writes to, for frames that are made once for all sessions; without it none are. */
  raw?: Duplex
}

export const createOutgoing = <M extends { type: string }>(socket: WebSocket, parts: OutgoingParts): Outgoing<M> =>
  new SocketOutgoing<M>(socket, parts)

/** A class, for there are thousands of them: functions of their own would be most of what each costs. */
class SocketOutgoing<M extends { type: string }> implements Outgoing<M>, Reader {
  batch = false
  readonly keys: AddressKeys
  readonly #socket: WebSocket
  readonly #maxFrameBytes: number
  readonly #limits: ReaderLimits
  readonly #raw: Duplex | null
  readonly #unsent: Unsent
  readonly #shares: Pick<TimeShares, 'charge'>
  readonly #guard: Guard
  #waiting: M[] | null = null
  #watching: NodeJS.Timeout | null = null
  /** Whether what waits for the reader is counted now. */
  #counted = false

  constructor(
    socket: WebSocket,
    { maxFrameBytes, unsent, shares, guard, keys, limits = NODE_LIMITS, raw }: OutgoingParts,
  ) {
    this.keys = keys
    this.#raw = raw ?? null
    this.#socket = socket
    this.#maxFrameBytes = maxFrameBytes
    this.#limits = limits
    this.#unsent = unsent
    this.#shares = shares
    this.#guard = guard
  }

  get waiting(): number {
    return this.#socket.bufferedAmount
  }

  push(message: M): void {
    if (this.#waiting === null) this.#waiting = [message]
    else this.#waiting.push(message)
  }

  flush(): void {
    const messages = this.#waiting
    const socket = this.#socket
    if (messages === null) return
    this.#waiting = null
    if (socket.readyState !== socket.OPEN) return
    if (messages.length > 1 && this.batch)
      for (const frame of framesOf(messages, this.#maxFrameBytes)) this.#sendText(frame)
    else for (const message of messages) this.#send(message)
    const { bufferedAmount } = socket
    if (this.#counted || bufferedAmount >= COUNTED_FROM_BYTES) {
      this.#counted = bufferedAmount >= COUNTED_FROM_BYTES
      this.#unsent.sent(this)
    }
    if (bufferedAmount > this.#limits.hard) this.tooSlow()
    else if (bufferedAmount > this.#limits.soft) this.#watch()
  }

  close(reason: CloseReason, text: string): void {
    const socket = this.#socket
    const end = this.#guard.logged(() => socket.terminate())
    setTimeout(end, reason === 'tooSlow' ? SLOW_CLOSE_TIMEOUT_MS : CLOSE_TIMEOUT_MS).unref()
    this.flush()
    // A close frame carries at most 123 bytes of reason.
    socket.close(
      closeCodes[reason].code,
      Buffer.from(text)
        .subarray(0, 120)
        .toString()
        .replace(/\uFFFD+$/, ''),
    )
  }

  #send(message: M): void {
    // Nothing is compressed, so what ws has taken it has written: this frame comes after it.
    if (this.#raw !== null && message.type === 'node.heartbeat_ack' && 'server_time' in message)
      this.#raw.write(ackFrame(Number(message.server_time)))
    else this.#sendText(JSON.stringify(message))
  }

  #sendText(text: string): void {
    if (text.length >= COUNTED_FROM_BYTES) this.#shares.charge(this.keys, writeMs(text.length))
    sendText(this.#socket, text)
  }

  gone(): void {
    this.#unsent.gone(this)
  }

  tooSlow(): void {
    this.#guard.attempt(this, () => {
      if (this.#limits.tooSlow === undefined || this.#socket.readyState !== this.#socket.OPEN) this.#socket.terminate()
      else this.#limits.tooSlow()
    })
  }

  // What was just queued says nothing of the reader; that it takes nothing of it for some time does.
  #watch(): void {
    if (this.#watching !== null) return
    const before = this.#socket.bufferedAmount
    const look = (): void => {
      this.#watching = null
      if (this.#socket.bufferedAmount <= this.#limits.soft) return
      if (this.#socket.bufferedAmount >= before) this.tooSlow()
      else this.#watch()
    }
    this.#watching = setTimeout(() => this.#guard.attempt(this, look), READ_WITHIN_MS)
    this.#watching.unref()
  }
}

/**
 * Large text waits as bytes: as a string it would be in memory twice while the socket writes it, and what V8 takes for a large heap
 * it lets grow to several times its size.
 */
function sendText(socket: WebSocket, text: string): void {
  if (text.length < COUNTED_FROM_BYTES) socket.send(text)
  else socket.send(Buffer.from(text), { binary: false })
}

let lastAck = { time: NaN, frame: Buffer.alloc(0) }
/**
 * The answer to a heartbeat as a whole text frame. It is most of what an idle service says, and the same for all sessions in
 * a second: one buffer, one write.
 */
function ackFrame(time: number): Buffer {
  if (time !== lastAck.time) {
    const ack: Extract<ServerMessage, { type: 'node.heartbeat_ack' }> = {
      type: 'node.heartbeat_ack',
      server_time: time,
    }
    const text = Buffer.from(JSON.stringify(ack))
    // A final text frame; its length, below 126, is one byte.
    lastAck = { time, frame: Buffer.concat([Buffer.from([0x81, text.length]), text]) }
  }
  return lastAck.frame
}

/** Several messages as they go out, in as few frames as the limits allow. Mostly that is one, and nothing has to be measured. */
function framesOf(messages: readonly unknown[], maxBytes: number): Iterable<string> {
  const texts = messages.map((message) => JSON.stringify(message))
  const units = texts.reduce((n, text) => n + text.length + 1, 1)
  return texts.length <= MAX_FRAME_MESSAGES && units * 3 <= maxBytes
    ? [`[${texts.join(',')}]`]
    : inFrames(texts, maxBytes)
}

/** Joins messages, in order, into as few frames as the limits allow. One message alone is no array, however large. */
function* inFrames(texts: readonly string[], maxBytes: number): Generator<string> {
  let frame: string[] = []
  let bytes = 0
  const joined = (): string => (frame.length === 1 ? (frame[0] ?? '') : `[${frame.join(',')}]`)
  for (const text of texts) {
    const size = Buffer.byteLength(text) + 1 // and its comma
    if (frame.length > 0 && (frame.length === MAX_FRAME_MESSAGES || bytes + size + 1 > maxBytes)) {
      yield joined()
      frame = []
      bytes = 0
    }
    frame.push(text)
    bytes += size
  }
  if (frame.length > 0) yield joined()
}
