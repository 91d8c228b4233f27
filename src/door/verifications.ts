import type { AddressKeys } from '../lib/address.js'
import { createBudget } from '../lib/budget.js'
import { refuse, type Outcome } from '../lib/result.js'

/** Signatures that are verified at once: each takes half a millisecond of a core, in a pool that the disk needs too. */
const AT_ONCE = { address: 16, service: 64 }

const TOO_MANY = refuse('rate_limited', 'too many signatures of this address are being verified; send fewer at once')
const BUSY = refuse('unavailable', 'too many signatures are being verified; send it again in a few seconds')

export type Verifications = ReturnType<typeof createVerifications>

/** Verifies a bounded number of signatures at once, of each address and of all. */
export function createVerifications() {
  const inFlight = createBudget(AT_ONCE)
  return async <T>(keys: AddressKeys, verify: () => Promise<Outcome<T>>): Promise<Outcome<T>> => {
    const holder = inFlight.take(keys, 1)
    if (holder !== null) return holder === 'address' ? TOO_MANY : BUSY
    try {
      return await verify()
    } finally {
      inFlight.give(keys, 1)
    }
  }
}
