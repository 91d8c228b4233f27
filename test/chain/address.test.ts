import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addressOf, hash160, isAddress, isAddressOf, type Network } from '../../src/chain/address.js'
import { decodeC32, encodeC32 } from '../../src/chain/c32.js'
import { readKey, type PublicKey } from '../../src/wire/keys.js'
import { NODE, SIGNER, USER, USER_UNCOMPRESSED } from './vectors.js'

const keyOf = (hex: string): PublicKey => {
  const key = readKey(hex)
  if (key === null) throw new Error(`${hex} is no key`)
  return key
}
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const version = fc.integer({ min: 0, max: 31 })
/** Hashes with zeros at their begin too: each of them is a digit of its own. */
const hash = fc.tuple(fc.nat(20), fc.uint8Array({ minLength: 20, maxLength: 20 })).map(([zeros, bytes]) =>
  Buffer.concat([Buffer.alloc(zeros), bytes])
    .subarray(0, 20)
    .toString('hex'),
)

test.each([USER, USER_UNCOMPRESSED, NODE, SIGNER])(
  'the key $publicKey has the addresses it has in wallets',
  (known) => {
    const key = keyOf(known.publicKey)
    expect(addressOf(key, 'mainnet')).toBe(known.mainnet)
    expect(addressOf(key, 'testnet')).toBe(known.testnet)
    expect(addressOf(key, 'devnet')).toBe(known.testnet)
    expect(isAddressOf(known.mainnet, key)).toBe(true)
    expect(isAddressOf(known.testnet, key)).toBe(true)
  },
)

test('a compressed key and the same one uncompressed are not the owner of each other’s address', () => {
  expect(isAddressOf(USER_UNCOMPRESSED.testnet, keyOf(USER.publicKey))).toBe(false)
  expect(isAddressOf(USER.testnet, keyOf(USER_UNCOMPRESSED.publicKey))).toBe(false)
  expect(isAddressOf(NODE.testnet, keyOf(USER.publicKey))).toBe(false)
})

test('a multisig address of a key’s hash is not the key’s', () => {
  const key = keyOf(USER.publicKey)
  for (const version of [20, 21, 0, 31])
    expect(isAddressOf(encodeC32({ version, hash160: hash160(USER.publicKey) }), key)).toBe(false)
})

test('hash160 of a key is the signer of its transactions', () => {
  expect(hash160(USER.publicKey)).toBe('fc7250a211deddc70ee5a2738de5f07817351cef')
})

const ZEROS = '00'.repeat(20)
test.each([
  // Boot addresses, and what @stacks/transactions prints for hashes with zeros at their begin.
  [22, ZEROS, 'SP000000000000000000002Q6VF78'],
  [26, ZEROS, 'ST000000000000000000002AMW42H'],
  [20, ZEROS, 'SM0000000000000000000062QV6X'],
  [21, ZEROS, 'SN000000000000000000003YDHWKJ'],
  [0, ZEROS, 'S0000000000000000000002AA028H'],
  [31, ZEROS, 'SZ000000000000000000002ZE1VMN'],
  [22, `${'00'.repeat(19)}01`, 'SP00000000000000000005JA84HQ'],
  [26, `${'00'.repeat(19)}01`, 'ST000000000000000000042DB08Y'],
  [22, `0000${'ff'.repeat(18)}`, 'SP001ZZZZZZZZZZZZZZZZZZZZZZZZZZZZXGDADXC'],
  [22, 'ff'.repeat(20), 'SP3ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZW9P3P0G'],
])('version %i of %s is %s', (version, hash160, text) => {
  expect(encodeC32({ version, hash160 })).toBe(text)
  expect(decodeC32(text)).toEqual({ version, hash160 })
})

test('what is encoded is decoded to the same', () => {
  fc.assert(
    fc.property(version, hash, (version, hash160) => {
      expect(decodeC32(encodeC32({ version, hash160 }))).toEqual({ version, hash160 })
    }),
    { numRuns: 2000 },
  )
})

test('an address with any one character changed, left out or added is none', () => {
  fc.assert(
    fc.property(version, hash, fc.nat(50), fc.constantFrom(...DIGITS), (version, hash160, where, digit) => {
      const text = encodeC32({ version, hash160 })
      const at = where % text.length
      const changed = [
        text.slice(0, at) + digit + text.slice(at + 1),
        text.slice(0, at) + text.slice(at + 1),
        text.slice(0, at) + digit + text.slice(at),
      ]
      for (const other of changed) if (other !== text) expect(decodeC32(other)).toBeNull()
    }),
    { numRuns: 2000 },
  )
})

test('an address has one spelling', () => {
  for (const text of [USER.testnet, NODE.mainnet]) {
    expect(decodeC32(text)).not.toBeNull()
    for (const other of [text.toLowerCase(), ` ${text}`, `${text}\n`, text.replace('0', 'O'), text.replace('1', 'L')])
      if (other !== text) expect(decodeC32(other)).toBeNull()
  }
})

test('no text of any length or shape is anything but an address or null', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ unit: fc.constantFrom(...DIGITS, 'S'), maxLength: 60 }),
    fc.string({ unit: fc.constantFrom(...DIGITS), maxLength: 45 }).map((s) => `S${s}`),
    fc.nat(60).map((n) => `S${'0'.repeat(n)}`),
  )
  fc.assert(
    fc.property(texts, (text) => {
      const decoded = decodeC32(text)
      if (decoded !== null) expect(encodeC32(decoded)).toBe(text)
    }),
    { numRuns: 5000 },
  )
  expect(decodeC32('S'.repeat(1_000_000))).toBeNull()
  expect(decodeC32(`S${'0'.repeat(1_000_000)}`)).toBeNull()
})

test('the four kinds of address are addresses, each of its network', () => {
  const hash160 = 'fc7250a211deddc70ee5a2738de5f07817351cef'
  const of = (version: number, network?: Network): boolean => isAddress(encodeC32({ version, hash160 }), network)
  expect([20, 21, 22, 26].map((v) => of(v))).toEqual([true, true, true, true])
  expect([20, 21, 22, 26].map((v) => of(v, 'mainnet'))).toEqual([true, false, true, false])
  expect([20, 21, 22, 26].map((v) => of(v, 'devnet'))).toEqual([false, true, false, true])
  expect([0, 1, 19, 23, 25, 27, 31].some((v) => of(v))).toBe(false)
  expect(isAddress('')).toBe(false)
  expect(isAddress(`${USER.testnet}.contract`)).toBe(false)
})
