import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isPublicAddress } from '../../src/lib/public-address.js'

const outside = [
  '8.8.8.8',
  '1.1.1.1',
  '93.184.215.14',
  '172.15.255.255',
  '172.32.0.1',
  '100.63.255.255',
  '2606:4700::1111',
  '2a00:1450:4001::1',
]
const inside = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  'fe80::1',
  'fec0::1',
  'fc00::1',
  'fd12:3456::1',
  'ff02::1',
  '100::1',
  '2001:db8::1',
  '2001:2::1',
  '2001:20::1',
  '3fff::1',
  '5f00::1',
  '64:ff9b:1::808:808',
  '::ffff:0:8.8.8.8',
  '::808:808',
  '::8.8.8.8',
]

test.each(outside)('%s is public', (address) => expect(isPublicAddress(address)).toBe(true))
test.each(inside)('%s is not', (address) => expect(isPublicAddress(address)).toBe(false))
test.each(['', 'localhost', '10.1', '0x7f.1', '2130706433', '127.1', 'fe80::1%lo', '[::1]', '8.8.8.8/8', ' 8.8.8.8'])(
  '%j is no address, and so not public',
  (text) => expect(isPublicAddress(text)).toBe(false),
)

describe('an address of IPv6 that leads to one of IPv4 is judged by that one', () => {
  const hex = (ip: string, turned = false): string => {
    const [a = 0, b = 0, c = 0, d = 0] = ip.split('.').map((part) => (turned ? 255 - Number(part) : Number(part)))
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  }
  const forms: Record<string, (ip: string) => string> = {
    mapped: (ip) => `::ffff:${ip}`,
    'mapped in hex': (ip) => `::ffff:${hex(ip)}`,
    NAT64: (ip) => `64:ff9b::${hex(ip)}`,
    '6to4': (ip) => `2002:${hex(ip)}::1`,
    'of a Teredo client': (ip) => `2001:0:808:808:0:0:${hex(ip, true)}`,
    'of a Teredo server': (ip) => `2001:0:${hex(ip)}:0:0:${hex('8.8.8.8', true)}`,
  }
  test.each(Object.entries(forms))('%s', (_, form) => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.constantFrom(...inside.filter((ip) => !ip.includes(':')))), (ip) => {
        expect([form(ip), isPublicAddress(form(ip))]).toEqual([form(ip), isPublicAddress(ip)])
      }),
    )
  })
})
