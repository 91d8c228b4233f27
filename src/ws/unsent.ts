import type { AddressKeys } from '../lib/address.js'
import type { Budget } from '../lib/budget.js'

/** What is less than this is on its way, and not counted: most of what is sent is gone at once. */
export const COUNTED_FROM_BYTES = 64 * 1024
/** Who takes nothing for so long keeps it from others, once half of the budget is taken, ms. */
const STUCK_AFTER_MS = 5000

/** A socket whose reader may be slow. */
export interface Reader {
  readonly keys: AddressKeys
  /** Bytes that wait for it. */
  readonly waiting: number
  /** It keeps more from others than it may. Said once more, it is dropped. */
  tooSlow(): void
}

/** What waits for a reader. */
interface Charge {
  bytes: number
  /** When it took something for the last time, or began to wait, ms. */
  since: number
  /** Whether it is being closed for that. */
  closing: boolean
}

export type Unsent = ReturnType<typeof createUnsent>

/**
 * What waits for the readers of sessions, counted in a budget: over it the one is closed for which most waits; from half of it
 * on, one that takes nothing.
 * @param now ms, monotonic
 */
export function createUnsent(budget: Budget, now: () => number) {
  const charges = new Map<Reader, Charge>()

  const charge = (reader: Reader, bytes: number): void => {
    const known = charges.get(reader)
    const before = known?.bytes ?? 0
    const counted = bytes < COUNTED_FROM_BYTES ? 0 : bytes
    if (counted === before) return
    budget.add(reader.keys, counted - before)
    if (counted === 0) charges.delete(reader)
    else if (known === undefined) charges.set(reader, { bytes: counted, since: now(), closing: false })
    else {
      known.bytes = counted
      if (counted < before) known.since = now()
    }
  }
  const most = (weight: (charge: Charge) => number): [Reader, Charge] | undefined => {
    let found: [Reader, Charge] | undefined
    let heaviest = 0
    for (const entry of charges) {
      const weighs = weight(entry[1])
      if (weighs > heaviest) [found, heaviest] = [entry, weighs]
    }
    return found
  }
  const close = (reader: Reader): void => {
    const known = charges.get(reader)
    if (known !== undefined) known.closing = true
    reader.tooSlow()
  }
  /** What is freed soon is not freed once more. */
  const isHalfTaken = (): boolean => {
    let freed = 0
    for (const { bytes, closing } of charges.values()) if (closing) freed += bytes
    return budget.exceeded([], 0.5, freed) !== null
  }

  return {
    /** Call it after something was sent. */
    sent(reader: Reader): void {
      const before = charges.get(reader)?.bytes ?? 0
      charge(reader, reader.waiting)
      if ((charges.get(reader)?.bytes ?? 0) <= before) return
      const holder = budget.exceeded(reader.keys)
      if (holder === 'address') close(reader)
      else if (holder === 'service') {
        const [slowest] = most(({ bytes }) => bytes) ?? []
        if (slowest !== undefined) close(slowest)
      }
    },
    /** Whether more than half of what may wait for an address does: what can be sent later should be. */
    isMuch: (keys: AddressKeys): boolean => budget.exceeded(keys, 0.5) === 'address',
    /** The socket is gone. */
    gone: (reader: Reader): void => charge(reader, 0),
    /** Sees what was read meanwhile, and closes who keeps room from others. Call it about once a second. */
    check(): void {
      for (const reader of charges.keys()) charge(reader, reader.waiting)
      while (isHalfTaken()) {
        const [stuck] =
          most(({ bytes, since, closing }) =>
            closing || now() - since < STUCK_AFTER_MS ? 0 : bytes * (now() - since),
          ) ?? []
        if (stuck === undefined) return
        close(stuck)
      }
    },
  }
}
