import type { RefusedCalls } from '../core/operations.js'
import type { ErrorCode } from '../wire/codes.js'

/** Addresses that are told of at once. */
const MAX_ADDRESSES = 100
/** Addresses that are counted between two tellings. */
const MAX_COUNTED = 10_000

export type RefusedTally = ReturnType<typeof createRefusedTally>

/** Counts what the doors refuse for want of rights, and what fails through a fault of ours, until that is told. */
export function createRefusedTally() {
  let counts = { unauthorized: 0, forbidden: 0, failures: 0 }
  let addresses = new Map<string, number>()
  return {
    /** An answer has this code. */
    answered(code: ErrorCode): void {
      if (code === 'unauthorized' || code === 'forbidden') counts[code]++
      else if (code === 'internal') counts.failures++
    },
    /** Somebody at this address has failed to show who he is. */
    failed(address: string): void {
      const before = addresses.get(address)
      if (before !== undefined || addresses.size < MAX_COUNTED) addresses.set(address, (before ?? 0) + 1)
    },
    /** What there was since this was asked last; null when there was nothing. */
    take(): RefusedCalls | null {
      if (counts.unauthorized + counts.forbidden + counts.failures + addresses.size === 0) return null
      const most = [...addresses].sort(([, a], [, b]) => b - a).slice(0, MAX_ADDRESSES)
      const taken = { ...counts, addresses: most.map(([address, count]) => ({ address, count })) }
      counts = { unauthorized: 0, forbidden: 0, failures: 0 }
      addresses = new Map()
      return taken
    },
  }
}
