import { expect, test } from 'vitest'
import { mayClaim, type Standing } from '../../src/cluster/standing.js'

const TAKEOVER_AFTER = 10_000
const calm: Standing = {
  connectedFor: 60_000,
  ownerSilentFor: 500,
  owner: { leaving: false, n: 5 },
  n: 5,
  rank: 0,
  isBehind: false,
  isFormerOwner: false,
  isFirst: false,
}
const claims = (s: Partial<Standing>): boolean => mayClaim({ ...calm, ...s }, TAKEOVER_AFTER)

test('a follower takes over when the owner is silent for long enough, and not before', () => {
  expect(claims({})).toBe(false)
  expect(claims({ ownerSilentFor: 9_900 })).toBe(false)
  expect(claims({ ownerSilentFor: 10_000 })).toBe(true)
})

test('the next follower waits half as long again, so that they do not all try at once', () => {
  expect(claims({ ownerSilentFor: 12_000, rank: 1 })).toBe(false)
  expect(claims({ ownerSilentFor: 15_000, rank: 1 })).toBe(true)
})

test('who was cut off hears nobody, and waits from when it is back', () => {
  expect(claims({ ownerSilentFor: 60_000, connectedFor: 2_000 })).toBe(false)
})

test('an owner that leaves is followed at once, by the first who has everything', () => {
  const leaving = { leaving: true, n: 6 }
  expect(claims({ owner: leaving })).toBe(false)
  expect(claims({ owner: leaving, n: 6 })).toBe(true)
  expect(claims({ owner: leaving, n: 6, rank: 1 })).toBe(false)
})

test('an owner whose process has ended goes on at once when it comes back, unless another one is heard', () => {
  expect(claims({ isFormerOwner: true, owner: null, ownerSilentFor: Infinity, connectedFor: 0 })).toBe(true)
  expect(claims({ isFormerOwner: true })).toBe(false)
})

test('a new journal is begun at once', () => {
  expect(claims({ isFirst: true, owner: null, ownerSilentFor: Infinity, connectedFor: 0, n: 0 })).toBe(true)
})

test('who has less than another that follows leaves it to that one for longer, also in a new journal', () => {
  expect(claims({ ownerSilentFor: 29_900, isBehind: true })).toBe(false)
  expect(claims({ ownerSilentFor: 30_000, isBehind: true })).toBe(true)
  expect(claims({ ownerSilentFor: 5_000, isBehind: true, isFirst: true, n: 0 })).toBe(false)
})
