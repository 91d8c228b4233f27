import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalAddress, createNetworks, parseNetwork } from '../../src/lib/networks.js'

test.each([
  [
    '10.0.0.0/8',
    ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3', '::ffff:a01:203'],
    ['9.255.255.255', '11.0.0.0', 'a::1'],
  ],
  ['10.1.2.3/8', ['10.9.9.9'], ['11.0.0.0']],
  ['192.0.2.1', ['192.0.2.1', '::ffff:192.0.2.1'], ['192.0.2.2', '::192.0.2.1']],
  ['192.0.2.1/32', ['192.0.2.1'], ['192.0.2.0']],
  ['127.0.0.0/8', ['127.0.0.1', '127.1.2.3'], ['::1', '128.0.0.1']],
  ['::1', ['::1', '0:0:0:0:0:0:0:1'], ['127.0.0.1', '::2', '::']],
  ['fd00::/8', ['fd00::1', 'FDFF::1', 'fd00::1%eth0'], ['fe80::1', '253.0.0.1']],
  ['2001:db8::/32', ['2001:db8:1::', '2001:DB8::ffff'], ['2001:db9::']],
  ['::ffff:10.0.0.0/104', ['10.1.2.3', '::ffff:10.1.2.3'], ['11.0.0.1']],
  ['::ffff:10.0.0.1', ['10.0.0.1'], ['10.0.0.2']],
  ['128.0.0.0/1', ['200.0.0.1'], ['100.0.0.1', '8000::1']],
])('in %s are %j and not %j', (network, inside, outside) => {
  const isIn = createNetworks([network])
  for (const address of inside) expect(isIn(address), address).toBe(true)
  for (const address of outside) expect(isIn(address), address).toBe(false)
})

test.each([
  ...[
    '',
    '10',
    '10.0.0',
    '10.0.0.0.0',
    '256.0.0.0',
    '010.0.0.1',
    '0x0a.0.0.1',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
  ],
  ...['10.0.0.0/08000', '10.0.0.0/8/8', '10.0.0.0 /8', ' 10.0.0.0/8', '10.0.0.0/255.0.0.0', '*', 'localhost', 'a/8'],
  ...['0.0.0.0/0', '::/0', '::ffff:0.0.0.0/96', '::/129', 'fe80::1%eth0/64', '[::1]', ':::/8', '10.0.0.0/8\n'],
])('%j is no network', (text) => {
  expect(parseNetwork(text)).toBeNull()
})

test('of several networks one is enough, and of none nothing is', () => {
  const isIn = createNetworks(['10.0.0.0/8', 'nonsense', '::1'])
  expect(['10.0.0.1', '::1', '192.0.2.1'].map(isIn)).toEqual([true, true, false])
  expect(createNetworks([])('10.0.0.1')).toBe(false)
})

test('what is no address is in no network', () => {
  const isIn = createNetworks(['0.0.0.0/1', '128.0.0.0/1', '::/1', '8000::/1'])
  for (const text of [undefined, '', 'unknown', '::10.0.0.1', '10.1', '0x7f.1', '2130706433', '10.0.0.1:80', '[::1]'])
    expect(isIn(text), text).toBe(false)
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'0123456789abcdefx.:%/[] '), maxLength: 50 }), (text) => {
      expect(isIn(text)).toBe(canonicalAddress(text) !== null)
      expect([null, 'object']).toContain(parseNetwork(text) === null ? null : typeof parseNetwork(text))
    }),
    { numRuns: 3000 },
  )
})

test('an address has one form', () => {
  expect(canonicalAddress('::ffff:192.0.2.1')).toBe('192.0.2.1')
  expect(canonicalAddress('::FFFF:C000:0201')).toBe('192.0.2.1')
  expect(canonicalAddress('2001:DB8:0:0::1')).toBe('2001:db8::1')
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
      fc.pre(!/^::\d+\./.test(address)) // an old form that nobody has, and that is none here
      const form = canonicalAddress(address)
      expect(form).not.toBeNull()
      expect(canonicalAddress(form ?? '')).toBe(form)
      expect(createNetworks([address])(form ?? '')).toBe(true)
    }),
    { numRuns: 1000 },
  )
})
