import { expect, test } from 'vitest'

interface Movement {
  ratio: number
  noise: number
  moved: number
}
const { movement, meanMovement, figuresOf } = (await import(
  new URL('../bench/lib/compare.mjs', import.meta.url).href
)) as {
  movement(theirs: readonly number[], ours: readonly number[]): Movement
  meanMovement(theirs: readonly number[], ours: readonly number[]): { ratio: number; error: number; moved: number }
  figuresOf(summary: readonly { what: string; value: unknown }[]): Map<string, number>
}

test('a figure has moved when every round says so by more than two runs of one build differ', () => {
  const theirs = [100, 104, 97, 101, 99]
  expect(movement(theirs, [121, 125, 118, 120, 119])).toMatchObject({ moved: 1 })
  expect(movement(theirs, [80, 84, 77, 81, 79]).moved).toBe(-1)
  expect(movement(theirs, [101, 103, 98, 102, 98]).moved).toBe(0)
  // One round that says otherwise is enough to doubt it.
  expect(movement(theirs, [121, 125, 90, 120, 119]).moved).toBe(0)
  // Runs of one build that differ by a third hide a tenth.
  expect(movement([100, 150, 90, 140, 95], [104, 156, 93, 146, 98]).moved).toBe(0)
  // The machine may drift as it likes, as long as it does so for both.
  const drifting = [100, 90, 80, 70, 60]
  expect(
    movement(
      drifting,
      drifting.map((x) => x * 1.3),
    ).ratio,
  ).toBeCloseTo(1.3)
  expect(
    movement(
      drifting,
      drifting.map((x) => x * 1.3),
    ).moved,
  ).toBe(1)
})

test('side by side a figure has moved when the mean of its ratios is more than three of its errors from 1', () => {
  const theirs = [100, 140, 70, 110, 95, 60]
  const times = (ratios: readonly number[]): number[] => theirs.map((x, i) => x * (ratios[i] ?? NaN))
  expect(meanMovement(theirs, times([1.04, 1.06, 1.05, 1.03, 1.07, 1.05]))).toMatchObject({ moved: 1 })
  expect(meanMovement(theirs, times([0.94, 0.96, 0.95, 0.93, 0.97, 0.95]))).toMatchObject({ moved: -1 })
  expect(meanMovement(theirs, times([1.3, 0.9, 1.2, 0.8, 1.1, 1])).moved).toBe(0)
  // Half as much and twice as much are no change.
  const even = meanMovement(theirs, times([2, 0.5, 2, 0.5, 2, 0.5]))
  expect(even.ratio).toBeCloseTo(1)
  expect(even.error).toBeCloseTo((Math.log(2) * Math.sqrt(6 / 5)) / Math.sqrt(6))
  // Five starts are too few to say so.
  expect(meanMovement(theirs.slice(1), times([2, 2.01, 2, 2.01, 2, 2.01]).slice(1)).moved).toBe(0)
})

test('three rounds tell nothing, and figures are found in whatever a benchmark says', () => {
  expect(movement([100, 100, 100], [200, 200, 200]).moved).toBe(0)
  expect(
    figuresOf([
      { what: 'a', value: 2 },
      { what: 'b', value: { median: 3, samples: [1, 3] } },
      { what: 'c', value: { rate: { median: 4 }, cpu: { median: 5 }, text: 'x' } },
      { what: 'd', value: null },
    ]),
  ).toEqual(
    new Map([
      ['a', 2],
      ['b', 3],
      ['c, rate', 4],
      ['c, cpu', 5],
    ]),
  )
})
