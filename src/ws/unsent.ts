import type { AddressKeys } from '../lib/address.js'
import type { Budget } from '../lib/budget.js'

/** What is less than this is on its way, and not counted: most of what is sent is gone at once. */
export const COUNTED_FROM_BYTES = 64 * 1024

/** A socket whose reader may be slow. */
export interface Reader {
  readonly keys: AddressKeys
  /** Bytes that wait for it. */
  readonly waiting: number
  /** It keeps more from others than it may. */
  tooSlow(): void
}

export type Unsent = ReturnType<typeof createUnsent>

/** What waits for the readers of sessions, counted in a budget: over it the one is closed for which most waits. */
export function createUnsent(budget: Budget) {
  const charged = new Map<Reader, number>()

  const charge = (reader: Reader, bytes: number): void => {
    const before = charged.get(reader) ?? 0
    const now = bytes < COUNTED_FROM_BYTES ? 0 : bytes
    if (now === before) return
    budget.add(reader.keys, now - before)
    if (now === 0) charged.delete(reader)
    else charged.set(reader, now)
  }
  const slowest = (): Reader | undefined => {
    let most: Reader | undefined
    for (const [reader, bytes] of charged)
      if (bytes > (most === undefined ? 0 : (charged.get(most) ?? 0))) most = reader
    return most
  }

  return {
    /** Call it after something was sent. */
    sent(reader: Reader): void {
      const before = charged.get(reader) ?? 0
      charge(reader, reader.waiting)
      if ((charged.get(reader) ?? 0) <= before) return
      const holder = budget.exceeded(reader.keys)
      if (holder === 'address') reader.tooSlow()
      else if (holder === 'service') slowest()?.tooSlow()
    },
    /** Whether more than half of what may wait for an address, or for all, does: what can be sent later should be. */
    isMuch: (keys: AddressKeys): boolean => budget.exceeded(keys, 0.5) !== null,
    /** The socket is gone. */
    gone: (reader: Reader): void => charge(reader, 0),
    /** Sees what was read meanwhile. Call it about once a second. */
    check(): void {
      for (const reader of charged.keys()) charge(reader, reader.waiting)
    },
  }
}
