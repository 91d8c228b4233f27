import type { IncomingHttpHeaders } from 'node:http'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createNetworks } from '../../src/lib/networks.js'
import { createProxyReader } from '../../src/lib/proxies.js'

const read = createProxyReader(createNetworks(['10.0.0.0/8', '127.0.0.1', 'fd00::/8']))
const PROXY = '10.0.0.1'
const from = (peer: string | undefined, headers: IncomingHttpHeaders, secure = false) => read({ peer, headers, secure })
const addressFor = (forwarded: string | undefined, peer = PROXY): string | undefined =>
  from(peer, forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }).address

test('from anybody else these headers are not looked at', () => {
  const headers = {
    host: 'service.example.org:8080',
    'x-forwarded-for': '198.51.100.7',
    'x-forwarded-host': 'evil.example.org',
    'x-forwarded-proto': 'https',
  }
  for (const peer of ['203.0.113.9', '127.0.0.2', '::ffff:203.0.113.9', '::1', undefined])
    expect(from(peer, headers)).toEqual({ address: peer, host: headers.host, proto: 'http', proxied: false })
  expect(from('203.0.113.9', headers, true).proto).toBe('https')
  const none = createProxyReader(createNetworks([]))
  expect(none({ peer: '127.0.0.1', headers, secure: false })).toMatchObject({ address: '127.0.0.1', proxied: false })
})

test('a trusted proxy tells the client’s address, the host it asked for, and how', () => {
  expect(
    from(PROXY, {
      host: 'backend:8080',
      'x-forwarded-for': '198.51.100.7',
      'x-forwarded-host': 'inference.example.org',
      'x-forwarded-proto': 'https',
    }),
  ).toEqual({ address: '198.51.100.7', host: 'inference.example.org', proto: 'https', proxied: true })
  expect(from(PROXY, { host: 'inference.example.org' }, true)).toEqual({
    address: PROXY,
    host: 'inference.example.org',
    proto: undefined,
    proxied: true,
  })
})

test.each([
  ['the client', '198.51.100.7', '198.51.100.7'],
  ['what the client made up before it is not believed', '1.2.3.4, 127.0.0.1, 10.9.9.9, 198.51.100.7', '198.51.100.7'],
  ['the client before two of our proxies', '198.51.100.7, 10.0.0.3, 10.0.0.2', '198.51.100.7'],
  ['a client in our own network, as the farthest', '10.0.0.9', '10.0.0.9'],
  ['all of them ours: the farthest', '10.0.0.9,10.0.0.3', '10.0.0.9'],
  ['no blanks', '1.1.1.1,198.51.100.7,10.0.0.2', '198.51.100.7'],
  ['many blanks', '  198.51.100.7  ,\t10.0.0.2  ', '198.51.100.7'],
  ['with a port', '198.51.100.7:54321', '198.51.100.7'],
  ['IPv6', '2001:DB8::0001', '2001:db8::1'],
  ['IPv6 in brackets', '[2001:db8::1]', '2001:db8::1'],
  ['IPv6 with a port', '[2001:db8::1]:443, fd00::1', '2001:db8::1'],
  ['IPv4 within IPv6', '::ffff:198.51.100.7', '198.51.100.7'],
  ['a proxy of ours written as IPv6', '198.51.100.7, ::ffff:10.0.0.2', '198.51.100.7'],
  ['empty', '', PROXY],
  ['only commas', ',,,', PROXY],
  ['nothing at the end', '198.51.100.7,', PROXY],
  ['no address', 'unknown', PROXY],
  ['no address before a proxy of ours', '198.51.100.7, unknown, 10.0.0.2', '10.0.0.2'],
  ['a name', 'client.example.org', PROXY],
  ['an odd way to write an address', '0x7f.1', PROXY],
  ['another', '198.51.100.007', PROXY],
  ['as in Forwarded', 'for=198.51.100.7', PROXY],
  ['a wrong port', '198.51.100.7:x', PROXY],
  ['a bracket too few', '[2001:db8::1', PROXY],
])('X-Forwarded-For, %s: %j is %s', (_, forwarded, address) => {
  expect(addressFor(forwarded)).toBe(address)
})

test('a proxy is trusted however its own address is written', () => {
  expect(addressFor('198.51.100.7', '::ffff:10.0.0.1')).toBe('198.51.100.7')
  expect(addressFor('198.51.100.7', '127.0.0.1')).toBe('198.51.100.7')
  expect(addressFor(undefined, '::ffff:10.0.0.1')).toBe('::ffff:10.0.0.1')
})

test('of several hosts and protocols the one that the nearest proxy wrote counts', () => {
  const headers = {
    host: 'backend',
    'x-forwarded-host': 'evil.example.org, inference.example.org:443',
    'x-forwarded-proto': 'http , HTTPS',
  }
  expect(from(PROXY, headers)).toMatchObject({ host: 'inference.example.org:443', proto: 'https' })
  expect(from(PROXY, { ...headers, 'x-forwarded-host': ['evil', 'good'] })).toMatchObject({ host: 'good' })
  expect(from(PROXY, { host: 'backend', 'x-forwarded-host': ' ', 'x-forwarded-proto': 'gopher' })).toMatchObject({
    host: 'backend',
    proto: undefined,
  })
})

test('a very long header costs no more than its last addresses', () => {
  expect(addressFor(`${'1.2.3.4, '.repeat(1_000_000)}198.51.100.7`)).toBe('198.51.100.7')
  expect(addressFor(`198.51.100.7${', 10.0.0.2'.repeat(1_000_000)}`), 'and no more than 16').toBe('10.0.0.2')
  expect(addressFor(`198.51.100.7${', 10.0.0.2'.repeat(15)}`)).toBe('198.51.100.7')
  expect(addressFor(`198.51.100.7${', 10.0.0.2'.repeat(16)}`)).toBe('10.0.0.2')
  expect(addressFor('9'.repeat(1_000_000))).toBe(PROXY)
  expect(addressFor(','.repeat(1_000_000))).toBe(PROXY)
})

test('whatever a client sends, what its proxies add after it is what counts', () => {
  const sent = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc
      .array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('10.0.0.7', '127.0.0.1', '')))
      .map((list) => list.join(', ')),
  )
  fc.assert(
    fc.property(sent, fc.nat(4), (sent, proxies) => {
      expect(addressFor(`${sent}, 198.51.100.7${', 10.0.0.2'.repeat(proxies)}`)).toBe('198.51.100.7')
      // Nothing of it is ever taken as it is.
      const address = addressFor(sent)
      expect(address === PROXY || createNetworks([address ?? ''])(address)).toBe(true)
    }),
    { numRuns: 1000 },
  )
})
