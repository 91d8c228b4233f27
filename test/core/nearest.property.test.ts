import fc from 'fast-check'
import { expect, test } from 'vitest'
import { editDistance, nearestNames } from '../../src/rules/nearest.js'

/** The whole table, as the textbook has it. */
function wholeDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1))
    }
    above = row
  }
  return above[b.length] ?? 0
}

const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 10 })

test('the bounded distance is the distance where that is small, and one more than the bound beyond', () => {
  fc.assert(
    fc.property(word, word, fc.nat(4), (a, b, most) => {
      expect(editDistance(a, b, most)).toBe(Math.min(wholeDistance(a, b), most + 1))
    }),
    { numRuns: 2000 },
  )
})

test.each([
  { asked: 'llama-3-8b', served: ['llama3:8b', 'mistral'], near: ['llama3:8b'] },
  { asked: 'mistrla', served: ['mistral', 'mixtral'], near: ['mistral'] },
  { asked: 'qwen2', served: ['qwen3', 'qwen2.5', 'gemma'], near: ['qwen3'] },
  {
    asked: 'deepseek-r1',
    served: ['deepseek-r2', 'deepseek-r1:7b', 'deepseek-v1', 'deepseek'],
    near: ['deepseek-r2', 'deepseek-v1', 'deepseek-r1:7b'],
  },
  { asked: 'ab', served: ['abc', 'a'], near: [] },
  { asked: 'whatever', served: [], near: [] },
])('of $served the names near to $asked are $near, the nearest first', ({ asked, served, near }) => {
  expect(nearestNames(asked, served, 3)).toEqual(near)
})
