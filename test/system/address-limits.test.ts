import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createKeysOf } from '../../src/lib/address.js'
import { createBudget } from '../../src/lib/budget.js'
import { createAddressRate, Rate } from '../../src/lib/rate.js'

describe('who an address counts as', () => {
  const keysOf = createKeysOf(false)
  const keys = (address: string | undefined) => keysOf(address).map(({ key, times }) => [key, times])

  test('an address of IPv4 counts as itself, however it is written', () => {
    expect(keys('192.0.2.7')).toEqual([['192.0.2.7', 1]])
    expect(keys('::ffff:192.0.2.7')).toEqual([['192.0.2.7', 1]])
  })
  test('an address of IPv6 counts as its /64, and as its /48 which may take 16 times as much', () => {
    const same = [
      ['2001:db8:1:2::/64', 1],
      ['2001:db8:1::/48', 16],
    ]
    expect(keys('2001:db8:1:2:3:4:5:6')).toEqual(same)
    expect(keys('2001:DB8:1:2::9')).toEqual(same)
    expect(keys('2001:db8:1:3::9')).not.toEqual(same)
  })
  test('loopback counts as nobody, unless it is to be counted', () => {
    expect([...keys('127.0.0.1'), ...keys('::1'), ...keys('::ffff:127.0.0.9')]).toEqual([])
    expect(createKeysOf(true)('127.0.0.9')).toEqual([{ key: '127.0.0.9', times: 1 }])
    expect(createKeysOf(true)('::1')).toHaveLength(2)
  })
  test('what has no address counts as one', () => {
    expect(keys(undefined)).toEqual([['', 1]])
    expect(keys('fe80::1%eth0').length).toBeGreaterThan(0)
  })
})

describe('a rate for each address', () => {
  test('is of each address alone, and what is refused does not make the wait longer', () => {
    let now = 0
    const rate = createAddressRate(1, () => now)
    const keysOf = createKeysOf(false)
    const take = (address: string, n: number) =>
      Array.from({ length: n }, () => rate(keysOf(address))).filter(Boolean).length
    expect([take('192.0.2.1', 1000), take('192.0.2.2', 5)]).toEqual([10, 5])
    now = 1000
    expect(take('192.0.2.1', 1000)).toBe(1)
  })
  test('all addresses of a /48 have 16 times the rate of a /64', () => {
    const rate = createAddressRate(1, () => 0)
    const keysOf = createKeysOf(false)
    const taken = Array.from({ length: 1000 }, (_, i) => rate(keysOf(`2001:db8:1:${i.toString(16)}::1`)))
    expect(taken.filter(Boolean)).toHaveLength(160)
  })
  test('when too many addresses are known the longest unused is forgotten, and no other', () => {
    const rate = createAddressRate(1, () => 0, 1, 2)
    const as = (key: string) => rate([{ key, times: 1 }])
    expect([as('a'), as('b'), as('a'), as('c')]).toEqual([true, true, false, true])
    expect([as('a'), as('b')]).toEqual([false, true])
  })
  test('what is larger than the whole burst takes all of it', () => {
    const rate = new Rate(1, 0)
    expect([rate.take(1, 0, 1000), rate.take(1, 5000, 1000), rate.take(1, 10_000, 1000)]).toEqual([true, false, true])
  })
})

test('a budget never gives more than an address or the service may take, and is empty when all was given back', () => {
  const step = fc.record({
    address: fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1'),
    n: fc.integer({ min: 0, max: 60 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const budget = createBudget({ address: 100, service: 150 })
      const keysOf = createKeysOf(false)
      const taken = steps.filter(({ address, n }) => {
        const before = [budget.used(keysOf(address)), budget.total()] as const
        const holder = budget.take(keysOf(address), n)
        const fits = before[0] + n <= 100 && before[1] + n <= 150
        expect(holder === null).toBe(fits)
        if (holder !== null) expect([budget.used(keysOf(address)), budget.total()]).toEqual(before)
        return holder === null
      })
      for (const { address, n } of taken) budget.give(keysOf(address), n)
      expect(budget.total()).toBe(0)
      for (const { address } of steps) expect(budget.used(keysOf(address))).toBe(0)
    }),
  )
})
