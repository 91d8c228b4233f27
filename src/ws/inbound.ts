import type { Duplex } from 'node:stream'
import type { AddressKeys } from '../lib/address.js'
import type { Budget } from '../lib/budget.js'
import type { CloseReason } from '../wire/codes.js'
import { FrameMeter } from './frame-meter.js'
import type { Guard } from './guard.js'

/** A message must be whole within this, ms. */
const WHOLE_WITHIN_MS = 30_000
/** What a chunk costs besides its bytes, however short it is. */
const CHUNK_BYTES = 256

/** A session, as what it receives is watched. */
export interface Receiver {
  /** The largest message that it may send now, in bytes. */
  readonly maxIncoming: number
  /** Whether nothing is read of it now. */
  readonly isPaused: boolean
  /** So many bytes have come. */
  received(bytes: number): void
  close(reason: CloseReason, text: string): void
}

export type Inbounds = ReturnType<typeof createInbounds>

/**
 * What sessions have received of messages that are not whole yet: counted in a budget, and limited in time. ws limits the size of
 * a message, and nothing else.
 * @param now ms, monotonic
 */
export function createInbounds(budget: Budget, now: () => number, guard: Guard) {
  const unfinished = new Set<Inbound>()
  return {
    /** @param raw the socket that is listened to: after ws, so that a session knows what was said before it is asked for its limits */
    open: (keys: AddressKeys, receiver: Receiver, raw: Duplex): Inbound =>
      new Inbound({ budget, unfinished, now, guard }, keys, receiver, raw),
    /** Closes who has left a message unfinished for too long. Call it about once a second. */
    check() {
      for (const inbound of unfinished) inbound.check()
    },
  }
}

interface Shared {
  budget: Budget
  unfinished: Set<Inbound>
  now: () => number
  guard: Guard
}

/** What one session receives. A class, for there are thousands of them. */
export class Inbound {
  readonly #shared: Shared
  readonly #keys: AddressKeys
  readonly #receiver: Receiver
  readonly #raw: Duplex
  readonly #meter = new FrameMeter()
  /** When the message began that is not whole, ms. */
  #since = 0
  /** What is kept of it in memory: all chunks since its beginning, for ws may keep each whole for the least piece of it. */
  #charged = 0
  #refused = false

  constructor(shared: Shared, keys: AddressKeys, receiver: Receiver, raw: Duplex) {
    this.#shared = shared
    this.#keys = keys
    this.#receiver = receiver
    this.#raw = raw
    raw.on('data', (chunk: Buffer) => shared.guard.attempt(receiver, () => this.#feed(chunk)))
  }

  /** Closes the session if its message has been unfinished for too long. */
  check(): void {
    this.#shared.guard.attempt(this.#receiver, () => this.#look())
  }

  #look(): void {
    // What we do not read cannot come.
    if (this.#receiver.isPaused) this.#since = this.#shared.now()
    else if (this.#shared.now() - this.#since >= WHOLE_WITHIN_MS)
      this.#refuse('unfinished', `a message must be whole within ${WHOLE_WITHIN_MS / 1000} s`)
  }

  /** The socket is gone. */
  end(): void {
    this.#refused = true
    this.#settle()
  }

  #feed(chunk: Uint8Array): void {
    if (this.#refused) return
    this.#receiver.received(chunk.length)
    const meter = this.#meter
    const { ended } = meter
    meter.feed(chunk)
    if (this.#charged > 0 && meter.ended !== ended) this.#settle()
    if (!meter.unfinished) return
    if (this.#charged === 0) {
      this.#since = this.#shared.now()
      this.#shared.unfinished.add(this)
    }
    const { maxIncoming } = this.#receiver
    if (meter.announced > maxIncoming) this.#refuse('tooLarge', `a message may have at most ${maxIncoming} bytes here`)
    else this.#charge(chunk.length + CHUNK_BYTES, 2 * maxIncoming)
  }

  /** @param alone what it may keep where nobody else keeps anything: then the largest message always fits, whatever its chunks are */
  #charge(bytes: number, alone: number): void {
    const { budget } = this.#shared
    const holder = budget.take(this.#keys, bytes)
    if (holder !== null) {
      const kept = holder === 'address' ? budget.used(this.#keys) : budget.total()
      if (kept > this.#charged || kept + bytes > alone)
        return holder === 'address'
          ? this.#refuse(
              'tooMany',
              'your address is sending more at once than it may; send one message after the other',
            )
          : this.#refuse('tryLater', 'the service is receiving more at once than it can keep; connect again later')
      budget.add(this.#keys, bytes)
    }
    this.#charged += bytes
  }

  /** Closes the session, and reads nothing more of it. What is kept is kept, and charged, until the socket is gone. */
  #refuse(reason: CloseReason, text: string): void {
    this.#refused = true
    this.#shared.unfinished.delete(this)
    this.#receiver.close(reason, text)
    this.#raw.removeAllListeners('data')
    this.#raw.resume() // its end is seen only when what comes before it is read
  }

  /** No message is unfinished. */
  #settle(): void {
    this.#shared.budget.give(this.#keys, this.#charged)
    this.#charged = 0
    this.#shared.unfinished.delete(this)
  }
}
