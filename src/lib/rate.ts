/** How many seconds of messages may come at once. */
const BURST_SECONDS = 10

/** Counts messages: no more than so many a second on average, over BURST_SECONDS (a token bucket). */
export class Rate {
  #tokens: number
  #last: number

  /** @param now ms, monotonic */
  constructor(perSecond: number, now: number) {
    this.#tokens = perSecond * BURST_SECONDS
    this.#last = now
  }

  /** Counts one message: whether it is within the rate. Takes the same `perSecond` every time. */
  take(perSecond: number, now: number): boolean {
    this.#tokens = Math.min(perSecond * BURST_SECONDS, this.#tokens + ((now - this.#last) / 1000) * perSecond)
    this.#last = now
    this.#tokens -= 1
    return this.#tokens >= 0
  }
}

/** The same as a function. @param now ms, monotonic */
export function createRate(perSecond: number, now: () => number): () => boolean {
  const rate = new Rate(perSecond, now())
  return () => rate.take(perSecond, now())
}
