import type { AddressKeys } from '../lib/address.js'
import type { Budget } from '../lib/budget.js'
import type { CloseReason } from '../wire/codes.js'
import { FrameMeter } from './frame-meter.js'

/** A message must be whole within this, ms. */
const WHOLE_WITHIN_MS = 30_000

/** A session, as what it receives is watched. */
export interface Receiver {
  /** The largest message that it may send now, in bytes. */
  readonly maxIncoming: number
  close(reason: CloseReason, text: string): void
}

export type Inbounds = ReturnType<typeof createInbounds>

/**
 * What sessions have received of messages that are not whole yet: counted in a budget, and limited in time. ws limits the size of
 * a message, and nothing else.
 * @param now ms, monotonic
 */
export function createInbounds(budget: Budget, now: () => number) {
  const unfinished = new Set<Inbound>()
  return {
    open: (keys: AddressKeys, receiver: Receiver): Inbound => new Inbound(budget, unfinished, now, keys, receiver),
    /** Closes who has left a message unfinished for too long. Call it about once a second. */
    check() {
      const late = now() - WHOLE_WITHIN_MS
      // In the order of their beginning.
      for (const inbound of unfinished) {
        if (inbound.since === null || inbound.since > late) return
        inbound.refuse('unfinished', `a message must be whole within ${WHOLE_WITHIN_MS / 1000} s`)
      }
    },
  }
}

/** What one session receives. A class, for there are thousands of them. */
export class Inbound {
  /** When the message began that is not whole, ms; null while none is. */
  since: number | null = null
  readonly #budget: Budget
  readonly #unfinished: Set<Inbound>
  readonly #now: () => number
  readonly #keys: AddressKeys
  readonly #receiver: Receiver
  readonly #meter = new FrameMeter()
  #charged = 0
  #ended = false

  constructor(budget: Budget, unfinished: Set<Inbound>, now: () => number, keys: AddressKeys, receiver: Receiver) {
    this.#budget = budget
    this.#unfinished = unfinished
    this.#now = now
    this.#keys = keys
    this.#receiver = receiver
  }

  /** Call it with every chunk that the socket has received, before ws has it. */
  feed(chunk: Uint8Array): void {
    if (this.#ended) return
    const meter = this.#meter
    meter.feed(chunk)
    if (!meter.unfinished) {
      if (this.since !== null) this.#settle()
      return
    }
    if (this.since === null) {
      this.since = this.#now()
      this.#unfinished.add(this)
    }
    if (meter.announced > this.#receiver.maxIncoming)
      return this.refuse('tooLarge', `a message may have at most ${this.#receiver.maxIncoming} bytes here`)
    const holder = this.#budget.take(this.#keys, meter.received - this.#charged)
    if (holder === null) this.#charged = meter.received
    else if (holder === 'address')
      this.refuse('tooMany', 'your address is sending more at once than it may; send one message after the other')
    else this.refuse('tryLater', 'the service is receiving more at once than it can keep; connect again later')
  }

  /** Closes the session, and looks at nothing more of it. */
  refuse(reason: CloseReason, text: string): void {
    this.end()
    this.#receiver.close(reason, text)
  }

  /** The session has ended. */
  end(): void {
    this.#ended = true
    this.#settle()
  }

  /** No message is unfinished. */
  #settle(): void {
    this.#budget.give(this.#keys, this.#charged)
    this.#charged = 0
    this.since = null
    this.#unfinished.delete(this)
  }
}
