// How long things take, in buckets of fixed bounds: the same in what the core keeps, in what REST says and in the metrics.

/** Upper bounds of the buckets, seconds; behind the last there is one more without a bound. */
export const histogramBounds = {
  /** From the submission to the first accept. */
  wait: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600],
  /** From the accept to the first piece of text. */
  first_word: [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
  /** From the accept to the end. */
  run: [0.3, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 240, 480, 960, 1920],
} as const satisfies Record<string, readonly number[]>
export type HistogramName = keyof typeof histogramBounds

/** The bucket that a value is in: the first whose bound it does not pass. @param seconds from 0 */
export function bucketOf(bounds: readonly number[], seconds: number): number {
  let low = 0
  let high = bounds.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (seconds <= (bounds[middle] ?? Infinity)) high = middle
    else low = middle + 1
  }
  return low
}

/**
 * What a share of the values does not pass, taken as evenly spread within a bucket, as Prometheus does it; null where there are none.
 * @param counts of each bucket, with the one without a bound
 * @param share 0 to 1
 */
export function quantile(bounds: readonly number[], counts: ArrayLike<number>, share: number): number | null {
  let all = 0
  for (let i = 0; i < counts.length; i++) all += counts[i] ?? 0
  if (all === 0) return null
  const wanted = share * all
  let before = 0
  for (let i = 0; i < bounds.length; i++) {
    const here = counts[i] ?? 0
    const upper = bounds[i] ?? 0
    if (here > 0 && before + here >= wanted) {
      const lower = bounds[i - 1] ?? 0
      // Rounding must not lead out of the bucket.
      return Math.min(upper, lower + ((upper - lower) * Math.max(0, wanted - before)) / here)
    }
    before += here
  }
  return bounds.at(-1) ?? null
}
