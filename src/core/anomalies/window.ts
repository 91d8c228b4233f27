/** Counts what happened within the last `span` ms. */
export interface Window {
  add(now: number, n?: number): void
  sum(now: number): number
}

/**
 * A sum over the newest `span` ms, kept in `slices` parts: what is as old as the oldest part is forgotten with all of it. Costs the
 * same however much is counted.
 * @param span ms
 */
export function createWindow(span: number, slices = 12): Window {
  const width = span / slices
  const sums = new Float64Array(slices)
  /** The number of the newest slice since the clock's beginning. */
  let newest = -Infinity

  const forward = (now: number): void => {
    const slice = Math.floor(now / width)
    if (slice <= newest) return
    if (slice - newest >= slices) sums.fill(0)
    else for (let s = newest + 1; s <= slice; s++) sums[s % slices] = 0
    newest = slice
  }
  return {
    add(now, n = 1) {
      forward(now)
      sums[newest % slices] = (sums[newest % slices] ?? 0) + n
    },
    sum(now) {
      forward(now)
      return sums.reduce((a, b) => a + b, 0)
    },
  }
}
