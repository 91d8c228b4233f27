import { holdersOf } from '../door/token-limits.js'
import type { Refusal } from '../lib/result.js'
import type { Exchange } from './exchange.js'
import { cannotAnswer, TOKEN_READS_TOO_LITTLE } from './limits.js'

/** A smaller answer is not counted: a connection has few of them. In UTF-16 units. */
const COUNTED_UNITS = 16 * 1024
/** An answer has to leave in this time, and in so much more for each byte; a slower reader is cut off. */
const LEAVE_WITHIN_MS = 30_000
const BYTES_PER_MS = 64

/** Why a request is refused before anything is asked for it: the answers before it are not read; null when it is not. */
export function unsentRefusal({ limits, keys, by }: Exchange): Refusal | null {
  const holder = limits.unsent.exceeded(keys)
  if (holder !== null) return cannotAnswer(holder)
  const own = limits.tokens.unsent.exceeded(holdersOf(by.principal, 'unsent_bytes'))
  return own === null ? null : TOKEN_READS_TOO_LITTLE
}

/** Counts what of an answer waits for its reader, until it has left or the connection has broken. */
export function createUnsent(exchange: Exchange) {
  const { request, limits, keys, by } = exchange
  const { unsent, tokens } = limits
  const holders = holdersOf(by.principal, 'unsent_bytes')
  let held = 0
  let late: NodeJS.Timeout | undefined
  const give = (): void => {
    unsent.give(keys, held)
    tokens.unsent.give(holders, held)
  }
  exchange.onEnd(() => {
    clearTimeout(late)
    give()
  })
  return {
    /** So many bytes wait now, and nothing of what waited before. */
    hold(bytes: number): void {
      give()
      unsent.add(keys, bytes)
      tokens.unsent.add(holders, bytes)
      held = bytes
      clearTimeout(late)
      late = setTimeout(() => request.socket.destroy(), LEAVE_WITHIN_MS + bytes / BYTES_PER_MS)
    },
    /** All of it has left. */
    release(): void {
      give()
      held = 0
      clearTimeout(late)
    },
  }
}

/** Counts an answer that is about to be sent. @returns why it must not be: too much waits already */
export function holdUnsent(exchange: Exchange, text: string): Refusal | null {
  return text.length < COUNTED_UNITS ? null : holdBytes(exchange, Buffer.byteLength(text))
}

/** The same of so many bytes. */
export function holdBytes(exchange: Exchange, bytes: number): Refusal | null {
  const refusal = unsentRefusal(exchange)
  if (refusal === null) createUnsent(exchange).hold(bytes)
  return refusal
}
