import { expect, test } from 'vitest'
import { createWaker } from '../../src/lib/waker.js'
import { fakeTimers } from '../support/fake-time.js'

const LONG_MS = 3_600_000

test('a pause ends when it is woken, and one that was woken before does not begin', async () => {
  const waker = createWaker()
  const paused = waker.pause(LONG_MS)
  waker.wake()
  await paused
  await waker.pause(LONG_MS)
})

test('what has woken it counts no more once it is seen to', async () => {
  const waker = createWaker()
  waker.wake()
  waker.calm()
  let over = false
  const paused = waker.pause(LONG_MS).then(() => (over = true))
  await new Promise(setImmediate)
  expect(over).toBe(false)
  waker.wake()
  await paused
})

test('after a stop there are no pauses, whatever was seen to', async () => {
  const waker = createWaker()
  const paused = waker.pause(LONG_MS)
  waker.stop()
  await paused
  waker.calm()
  await waker.pause(LONG_MS)
})

test('a pause ends by itself, and takes at least a millisecond', async () => {
  const { pass } = fakeTimers()
  let over = false
  const paused = createWaker()
    .pause(-5)
    .then(() => (over = true))
  await pass(0)
  expect(over).toBe(false)
  await pass(0.001)
  await paused
})
