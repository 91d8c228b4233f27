import type { AddressKeys } from '../lib/address.js'
import { createBudget, type Budget } from '../lib/budget.js'
import { createAddressRate, type AddressRate } from '../lib/rate.js'
import type { Principal } from '../rules/principal.js'
import type { Limits } from '../rules/tokens.js'

/** Limits of tokens that are counted at the doors: of requests a second, of bytes a second, and of bytes that wait. */
export type CountedLimit = 'rate' | 'bytes_per_second' | 'unsent_bytes'

/** Counts what each token takes; its own limits say how much it may. */
export interface TokenLimits {
  requests: AddressRate
  bytes: AddressRate
  unsent: Budget
}

/** @param now ms, monotonic */
export const createTokenLimits = (now: () => number): TokenLimits => ({
  // One each, so many times as the token says.
  requests: createAddressRate(1, now),
  bytes: createAddressRate(1, now),
  unsent: createBudget({ address: 1, service: Infinity }),
})

/** Who a principal counts as in one of them; nobody where it has no such limit. */
export function holdersOf({ token_id, wallet, owners, limits }: Principal, limit: CountedLimit): AddressKeys {
  const most: Limits[CountedLimit] = limits[limit]
  if (most === null) return []
  const key = token_id ?? (wallet ? owners[0] : undefined)
  return key === undefined ? [] : [{ key, times: most }]
}
