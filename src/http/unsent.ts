import type { Refusal } from '../lib/result.js'
import type { Exchange } from './exchange.js'
import { cannotAnswer } from './limits.js'

/** A smaller answer is not counted: a connection has few of them. In UTF-16 units. */
const COUNTED_UNITS = 16 * 1024
/** An answer has to leave in this time, and in so much more for each byte; a slower reader is cut off. */
const LEAVE_WITHIN_MS = 30_000
const BYTES_PER_MS = 64

/** Why a request is refused before anything is asked for it: the answers before it are not read; null when it is not. */
export function unsentRefusal({ limits, keys }: Exchange): Refusal | null {
  const holder = limits.unsent.exceeded(keys)
  return holder === null ? null : cannotAnswer(holder)
}

/** Counts what of an answer waits for its reader, until it has left or the connection has broken. */
export function createUnsent(exchange: Exchange) {
  const { request, limits, keys } = exchange
  const { unsent } = limits
  let held = 0
  let late: NodeJS.Timeout | undefined
  exchange.onEnd(() => {
    clearTimeout(late)
    unsent.give(keys, held)
  })
  return {
    /** So many bytes wait now, and nothing of what waited before. */
    hold(bytes: number): void {
      unsent.give(keys, held)
      unsent.add(keys, bytes)
      held = bytes
      clearTimeout(late)
      late = setTimeout(() => request.socket.destroy(), LEAVE_WITHIN_MS + bytes / BYTES_PER_MS)
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
