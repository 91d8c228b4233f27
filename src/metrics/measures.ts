import { bucketOf } from '../rules/histograms.js'

/** A histogram since the start. `buckets`: each by itself, the last without a bound. */
export interface Buckets {
  readonly buckets: ArrayLike<number>
  /** Seconds, or what is measured. */
  readonly sum: number
}

/** Counts values in buckets. */
export function createMeasure(bounds: readonly number[]) {
  const buckets = new Float64Array(bounds.length + 1)
  const measure = {
    buckets,
    sum: 0,
    observe(value: number): void {
      const bucket = bucketOf(bounds, value)
      buckets[bucket] = (buckets[bucket] ?? 0) + 1
      measure.sum += value
    },
  }
  return measure
}
export type Measure = ReturnType<typeof createMeasure>

/** Something of each of a few kinds, made at its first mention. The caller sees to it that the kinds are few. */
export function createKinds<K extends readonly string[], T>(make: () => T) {
  const found = new Map<string, { kind: K; of: T }>()
  return {
    of(...kind: K): T {
      const key = kind.join(' ')
      let known = found.get(key)
      if (known === undefined) {
        known = { kind, of: make() }
        found.set(key, known)
      }
      return known.of
    },
    all: (): readonly { kind: K; of: T }[] => [...found.values()],
  }
}
