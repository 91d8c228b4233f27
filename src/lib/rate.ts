import type { AddressKeys } from './address.js'
import { createRecentlyUsed } from './recently-used.js'

/** How many seconds of a rate may come at once. */
export const BURST_SECONDS = 10
/** Addresses that are remembered at once. */
const MAX_KEYS = 50_000

/** No more than so many a second on average, over BURST_SECONDS (a token bucket). What is refused is not counted. */
export class Rate {
  #tokens: number
  #last: number

  /** @param now ms, monotonic */
  constructor(perSecond: number, now: number, burst = perSecond * BURST_SECONDS) {
    this.#tokens = burst
    this.#last = now
  }

  /**
   * Counts `n` (1 message, so many bytes): whether that is within the rate. Takes the same `perSecond` and `burst` every time. What
   * is more than the whole burst takes all of it. Below 0 it gives back what was counted.
   */
  take(perSecond: number, now: number, n = 1, burst = perSecond * BURST_SECONDS): boolean {
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#last) / 1000) * perSecond)
    this.#last = now
    const taken = Math.min(n, burst)
    if (this.#tokens < taken) return false
    this.#tokens -= taken
    return true
  }
}

/** The same as a function. @param now ms, monotonic */
export function createRate(perSecond: number, now: () => number): (n?: number) => boolean {
  const rate = new Rate(perSecond, now())
  return (n) => rate.take(perSecond, now(), n)
}

/** A rate for each address: whether `n` more are within it. Counts nothing for an address that no limit holds for. */
export type AddressRate = (keys: AddressKeys, n?: number) => boolean

/**
 * A rate for each address.
 * @param perSecond 0 = no limit
 * @param now ms, monotonic
 * @param burst what may come at once
 */
export function createAddressRate(
  perSecond: number,
  now: () => number,
  burst = perSecond * BURST_SECONDS,
  maxKeys = MAX_KEYS,
): AddressRate {
  /** The longest unused has the most of its rate back, so it is the one to forget. */
  const rates = createRecentlyUsed(maxKeys, (_key, times: number) => new Rate(perSecond * times, now(), burst * times))
  return (keys, n = 1) =>
    perSecond === 0 ||
    keys.every(({ key, times }) => rates.of(key, times).take(perSecond * times, now(), n, burst * times))
}
