/** How many seconds of messages may come at once. */
const BURST_SECONDS = 10

/**
 * Counts messages: true while no more than `perSecond` came on average, over BURST_SECONDS (a token bucket).
 * @param now ms, monotonic
 */
export function createRate(perSecond: number, now: () => number): () => boolean {
  let tokens = perSecond * BURST_SECONDS
  let last = now()
  return () => {
    const t = now()
    tokens = Math.min(perSecond * BURST_SECONDS, tokens + ((t - last) / 1000) * perSecond)
    last = t
    tokens -= 1
    return tokens >= 0
  }
}
