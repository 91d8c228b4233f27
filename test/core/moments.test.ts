import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMoments } from '../../src/core/moments.js'
import type { ClockOffset } from '../../src/store/clock-offsets.js'

/** The rows of a file, and what counts after a commit. */
function file() {
  const rows = new Map<number, ClockOffset>()
  return {
    open: () =>
      createMoments({
        load: () => [...rows.values()].sort((a, b) => a.from_ms - b.from_ms),
        save: (row) => void rows.set(row.from_ms, row),
        later: (count) => count(),
      }),
    rows,
  }
}

test('a moment is known to the millisecond through stalls, clocks that are set, and restarts', () => {
  // How much each of the two clocks goes on, and what happens then.
  const step = fc.record({
    runs: fc.integer({ min: 1, max: 5000 }),
    jumps: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: -100_000, max: 100_000 })),
    restarts: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { open } = file()
      let now = 1000
      let wall = 1_700_000_000_000
      let moments = open()
      moments.begin(now, wall)
      const known: { ms: number; wall: number }[] = []
      for (const { runs, jumps, restarts } of steps) {
        now += runs
        wall += runs + jumps
        if (restarts) {
          moments = open()
          moments.begin(++now, wall)
        }
        moments.tick(now, wall)
        known.push({ ms: now, wall })
      }
      // A clock that was set by less than is noticed is off by that.
      for (const { ms, wall } of known) expect(Math.abs(moments.wallOf(ms, 0) - wall)).toBeLessThanOrEqual(250)
    }),
  )
})

test('of what was before any of it is written down the second is known', () => {
  const moments = file().open()
  moments.begin(5000, 1_700_000_000_000)
  expect(moments.wallOf(4999, 1_600_000_000)).toBe(1_600_000_000_000)
  expect(moments.wallOf(5000, 0)).toBe(1_700_000_000_000)
})

test('the starts and the moments at which a clock was set are told, those since a moment', () => {
  const { open } = file()
  const first = open()
  first.begin(1000, 1_700_000_000_000)
  first.tick(2000, 1_700_000_001_100)
  expect(first.breaksSince(0)).toEqual([1_700_000_000_000])
  first.tick(3000, 1_700_000_062_000)
  const second = open()
  second.begin(3500, 1_700_000_090_000)
  expect(second.breaksSince(0)).toEqual([1_700_000_000_000, 1_700_000_062_000, 1_700_000_090_000])
  expect(second.breaksSince(1_700_000_062_001)).toEqual([1_700_000_090_000])
})
