/** How many durations the mean is over, at most. */
const MAX_KEPT = 1000

export type Durations = ReturnType<typeof createDurations>

/** The mean of the newest durations within a window, in constant time: a ring of at most KEPT of them. */
export function createDurations(window: number) {
  const ring: { ms: number; at: number }[] = []
  let sum = 0
  let first = 0
  const drop = (): void => {
    sum -= ring[first]?.ms ?? 0
    first++
    if (first > MAX_KEPT) {
      ring.splice(0, first)
      first = 0
    }
  }
  return {
    /** @param ms how long it took @param at when it ended, in the clock of `mean` */
    add(ms: number, at: number) {
      ring.push({ ms, at })
      sum += ms
      if (ring.length - first > MAX_KEPT) drop()
    },
    /** Mean in ms of what ended within the window before `now`; 0 when nothing did. */
    mean(now: number): number {
      while (first < ring.length && (ring[first]?.at ?? now) < now - window) drop()
      const n = ring.length - first
      return n === 0 ? 0 : Math.max(0, sum / n)
    },
    clear() {
      ring.length = 0
      first = 0
      sum = 0
    },
  }
}
