import { expect, onTestFinished, test, vi } from 'vitest'
import { createHold } from '../../src/http/hold.js'

const SECOND = 1000
const MOST = 1024

test('a submission waits a second and goes on, unless its connection has ended; when many wait, one more is refused', () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const hold = createHold()
  const ended: (() => void)[] = []
  const wentOn: number[] = []
  const wait = (n: number): boolean => hold({ onEnd: (then) => void ended.push(then) }, () => wentOn.push(n))
  const all = Array.from({ length: MOST }, (_, n) => n)
  expect(all.filter(wait)).toEqual(all)
  expect(wait(MOST)).toBe(false)
  ended[0]?.()
  expect(wait(MOST)).toBe(true) // in the place of the one that has ended
  vi.advanceTimersByTime(SECOND - 1)
  expect(wentOn).toEqual([])
  vi.advanceTimersByTime(1)
  expect(wentOn).toEqual([...all.slice(1), MOST])
  for (const end of ended) end() // gives no place back twice
  expect(all.filter(wait)).toEqual(all)
  expect(wait(MOST)).toBe(false)
})
