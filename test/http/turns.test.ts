import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { inTurns } from '../../src/http/turns.js'

test('what is done in steps at the same time shares the time of a turn, and each of it goes on', async () => {
  let ofTurn = 0
  const steps = function* (): Generator<void, string> {
    for (let i = 0; i < 20; i++) {
      for (const end = performance.now() + 2; performance.now() < end;);
      ofTurn++
      yield
    }
    return 'done'
  }
  const begun = Array.from({ length: 6 }, () => inTurns(steps()))
  let over = false
  const all = Promise.all(begun).finally(() => (over = true))
  const turns: number[] = []
  ofTurn = 0
  for (; !over; ofTurn = 0) {
    await nextTurn()
    turns.push(ofTurn)
  }
  expect(await all).toEqual(Array(6).fill('done'))
  // 4 of the first and 1 of each other; with 8 ms for each it would be 24.
  expect(Math.max(...turns)).toBeLessThanOrEqual(10)
})
