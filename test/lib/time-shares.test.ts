import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { AddressKeys } from '../../src/lib/address.js'
import { createTimeShares } from '../../src/lib/time-shares.js'

const LOUD: AddressKeys = [{ key: 'loud', times: 1 }]
const QUIET: AddressKeys = [{ key: 'quiet', times: 1 }]
const NOBODY: AddressKeys = []

/** Shares by a clock that only steps move: one of `ms` writes its name. */
function shared() {
  let t = 0
  const done: string[] = []
  const step =
    (name: string, ms = 1) =>
    () => {
      t += ms
      done.push(name)
    }
  return { shares: createTimeShares(() => t), done, step }
}
function* long(step: () => void, times: number): Generator<void, string> {
  for (let i = 0; i < times; i++) {
    step()
    yield
  }
  return 'all of it'
}

test('an address has its share of a turn, and the rest in turns that follow, in order', async () => {
  const { shares, done, step } = shared()
  for (let i = 0; i < 9; i++) shares.run(LOUD, step(`${i}`))
  expect(done).toEqual(['0', '1', '2'])
  await turn()
  expect(done).toHaveLength(6)
  await turn()
  expect(done).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8'])
})

test('who comes from another address is not behind it, and takes turns with what waits', async () => {
  const { shares, done, step } = shared()
  for (let i = 0; i < 50; i++) shares.run(LOUD, step('loud'))
  shares.run(QUIET, step('quiet'))
  expect(done.at(-1)).toBe('quiet')
  shares.later(QUIET, step('quiet'))
  await turn()
  expect(done.slice(4)).toEqual(['loud', 'quiet', 'loud', 'loud'])
})

test('what took longer than a share is missing in the turns that follow, also when it is counted before or by others', async () => {
  const { shares, done, step } = shared()
  shares.charge(LOUD, 10)
  shares.run(LOUD, step('loud'))
  let turns = 0
  for (; done.length === 0; turns++) await turn()
  expect(turns).toBe(3)
  expect(shares.hasTime(QUIET)).toBe(true)
})

test('what is not counted for any address never waits, unless it is done in steps', async () => {
  const { shares, done, step } = shared()
  for (let i = 0; i < 100; i++) shares.run(NOBODY, step('open'))
  expect(done).toHaveLength(100)
  shares.charge(NOBODY, 1000)
  expect(shares.hasTime(NOBODY)).toBe(true)
  const all = shares.inSteps(NOBODY, long(step('step'), 40))
  expect(done).toHaveLength(101)
  await turn()
  expect(done.length).toBeLessThanOrEqual(101 + 15)
  expect(await all).toBe('all of it')
  expect(done).toHaveLength(140)
})

test('who has been alone for a second has more of each turn, until somebody else comes, counted or not', async () => {
  for (const other of [QUIET, NOBODY]) {
    const { shares, done, step } = shared()
    shares.run(LOUD, step('loud', 1000))
    for (; !shares.hasTime(LOUD);) await turn()
    const took = (): number => {
      const before = done.length
      for (let i = 0; i < 40; i++) shares.run(LOUD, step('loud'))
      return done.length - before
    }
    expect(took()).toBeGreaterThan(10)
    while (done.length < 41) await turn()
    shares.run(other, step('other'))
    for (; !shares.hasTime(LOUD);) await turn()
    expect(took()).toBeLessThanOrEqual(3)
  }
})

test('a limit for a larger network holds beside that for each part of it', async () => {
  const { shares, done, step } = shared()
  const part = (n: number): AddressKeys => [
    { key: `part ${n}`, times: 1 },
    { key: 'network', times: 2 },
  ]
  for (let n = 0; n < 10; n++) shares.run(part(n), step(`${n}`, 2))
  expect(done).toHaveLength(3)
  while (done.length < 10) await turn()
})

test('many things in steps at once take no longer a turn than one, and one that fails ends alone', async () => {
  const { shares, done, step } = shared()
  const good = Array.from({ length: 6 }, () => shares.inSteps(LOUD, long(step('good'), 10)))
  const bad = shares.inSteps(
    LOUD,
    long(() => {
      throw new Error('it is broken')
    }, 1),
  )
  const failed = expect(bad).rejects.toThrow('it is broken')
  let most = 0
  for (let before = done.length; done.length < 60; before = done.length) {
    await turn()
    most = Math.max(most, done.length - before)
  }
  expect(most).toBeLessThanOrEqual(3)
  await failed
  expect(await Promise.all(good)).toEqual(Array(6).fill('all of it'))
})

test('a step that throws is counted, and those behind it have their turns', async () => {
  const { shares, done, step } = shared()
  expect(() =>
    shares.run(LOUD, () => {
      step('first', 4)()
      throw new Error('it is broken')
    }),
  ).toThrow('it is broken')
  shares.run(LOUD, step('second'))
  expect(done).toEqual(['first'])
  await turn()
  expect(done).toEqual(['first', 'second'])
})
