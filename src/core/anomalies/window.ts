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

/** What is known of each of so many subjects at most: for one more, the one that was looked at longest ago is forgotten. */
export function createSubjects<T>(most: number, make: (key: string) => T) {
  const known = new Map<string, T>()
  /** What was looked at last: it is the last of the Map, and mostly the next that is asked for. */
  let last: { key: string; value: T } | null = null
  return {
    /** Makes it where it is not known. */
    of(key: string): T {
      if (last?.key === key) return last.value
      const found = known.get(key) ?? make(key)
      known.delete(key)
      const [oldest] = known.size >= most ? known.keys() : []
      if (oldest !== undefined) known.delete(oldest)
      known.set(key, found)
      last = { key, value: found }
      return found
    },
    peek: (key: string): T | undefined => known.get(key),
    size: () => known.size,
  }
}
