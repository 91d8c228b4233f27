import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bucketOf, histogramBounds, quantile } from '../../src/rules/histograms.js'

const anyBounds = fc.constantFrom(...Object.values(histogramBounds))

test('a value is in the first bucket whose bound it does not pass', () => {
  fc.assert(
    fc.property(anyBounds, fc.double({ min: 0, max: 10_000, noNaN: true }), (bounds, value) => {
      const first = bounds.findIndex((bound) => value <= bound)
      expect(bucketOf(bounds, value)).toBe(first < 0 ? bounds.length : first)
    }),
  )
  expect(bucketOf(histogramBounds.wait, 0.05)).toBe(0)
  expect(bucketOf(histogramBounds.wait, 0.051)).toBe(1)
})

test('a share of the values lies in the bucket that holds that one of them', () => {
  const values = fc.array(fc.double({ min: 0, max: 5000, noNaN: true }), { minLength: 1, maxLength: 50 })
  fc.assert(
    fc.property(anyBounds, values, fc.double({ min: 0.01, max: 1, noNaN: true }), (bounds, all, share) => {
      const counts = new Array<number>(bounds.length + 1).fill(0)
      for (const value of all) counts[bucketOf(bounds, value)] = (counts[bucketOf(bounds, value)] ?? 0) + 1
      const sorted = all.toSorted((a, b) => a - b)
      const exact = sorted[Math.ceil(share * all.length - 1e-9) - 1] ?? 0
      const found = quantile(bounds, counts, share) ?? -1
      const bucket = bucketOf(bounds, exact)
      expect(found).toBeGreaterThanOrEqual(bounds[Math.min(bucket, bounds.length) - 1] ?? 0)
      expect(found).toBeLessThanOrEqual(bounds[bucket] ?? bounds.at(-1) ?? 0)
    }),
  )
  expect(quantile(histogramBounds.run, new Array(16).fill(0), 0.5)).toBeNull()
})
