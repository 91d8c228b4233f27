import { expect, test } from 'vitest'

interface Movement {
  ratio: number
  noise: number
  moved: number
}
const { movement, figuresOf } = (await import(new URL('../bench/lib/compare.mjs', import.meta.url).href)) as {
  movement(theirs: readonly number[], ours: readonly number[]): Movement
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
