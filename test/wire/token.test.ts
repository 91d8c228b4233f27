import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hashToken, makeToken, parseToken, sameHash, tokenKinds } from '../../src/wire/token.js'

const kind = fc.constantFrom(...tokenKinds)
const digit = fc.constantFrom(...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz')

test.each([
  // The checks are of another implementation of CRC-32; the last one begins with zeros.
  ['usr', 'AAAAAAAA', `sis_usr_AAAAAAAA${'0'.repeat(32)}1YdppP`],
  ['adm', '0Zz9aA1b', 'sis_adm_0Zz9aA1b0123456789ABCDEFGHIJKLMNOPQRSTUV1T8SHD'],
  ['inv', 'zzzzzzzz', `sis_inv_${'z'.repeat(40)}35X3NW`],
  ['nod', '00000000', 'sis_nod_0000000000000000000000000000000000005133000m5X'],
])('a token of kind %s with the id %s is known by its form: %s', (kind, id, token) => {
  expect(parseToken(token)).toEqual({ kind, id })
})

test('what is kept of a token is the SHA-256 of all of it', () => {
  expect(hashToken('sis_adm_0Zz9aA1b0123456789ABCDEFGHIJKLMNOPQRSTUV1T8SHD')).toBe(
    '93487e952e3645b1ff28d6e5a133d5b3a30e8e7a9bfa848738a7b236b0fa8c5a',
  )
})

test('a new token is of its kind, has an id and its hash, and no two are the same', () => {
  const made = tokenKinds.flatMap((kind) => Array.from({ length: 300 }, () => makeToken(kind)))
  for (const { kind, id, token, hash } of made) {
    expect(token).toMatch(/^sis_[a-z]{3}_[0-9A-Za-z]{46}$/)
    expect(parseToken(token)).toEqual({ kind, id })
    expect(token.startsWith(`sis_${kind}_${id}`)).toBe(true)
    expect(hash).toBe(hashToken(token))
  }
  expect(new Set(made.map((m) => m.token)).size).toBe(made.length)
  expect(new Set(made.map((m) => m.id)).size).toBe(made.length)
})

test('all 62 digits come in new tokens, about equally often', () => {
  const counts = new Map<string, number>()
  for (let i = 0; i < 2000; i++)
    for (const c of makeToken('usr').token.slice(8, 48)) counts.set(c, (counts.get(c) ?? 0) + 1)
  // 80,000 digits: 1290 of each, give or take 36; seven times that is never seen.
  expect(counts.size).toBe(62)
  for (const n of counts.values()) expect(Math.abs(n - 1290)).toBeLessThan(252)
})

test('a token with one character changed, left out or added, or two neighbours swapped, is none', () => {
  fc.assert(
    fc.property(kind, fc.nat(53), digit, (kind, at, c) => {
      const { token } = makeToken(kind)
      const [before, here, next, after] = [
        token.slice(0, at),
        token[at] ?? '',
        token[at + 1] ?? '',
        token.slice(at + 2),
      ]
      const changed = [
        before + c + next + after,
        before + next + after,
        before + c + here + next + after,
        before + next + here + after,
      ]
      for (const other of changed) if (other !== token) expect(parseToken(other)).toBeNull()
    }),
    { numRuns: 1000 },
  )
})

test('a token is none with anything around it, in another case, or of a kind that is not known', () => {
  const { token } = makeToken('viw')
  for (const other of [
    ` ${token}`,
    `${token}\n`,
    `Bearer ${token}`,
    token.toUpperCase(),
    token.replace('viw', 'xyz'),
    '',
  ])
    expect(parseToken(other)).toBeNull()
})

test('no text of any shape is anything but a token or null', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc.tuple(kind, fc.string({ unit: digit, minLength: 40, maxLength: 50 })).map(([k, s]) => `sis_${k}_${s}`),
  )
  fc.assert(
    fc.property(text, (text) => {
      expect(parseToken(text)).toBeNull()
    }),
    { numRuns: 2000 },
  )
  expect(parseToken('sis_usr_'.repeat(100_000))).toBeNull()
})

test('hashes are the same or not, of whatever length', () => {
  const [a, b] = [makeToken('adm').hash, makeToken('adm').hash]
  expect(sameHash(a, a)).toBe(true)
  expect(sameHash(a, b)).toBe(false)
  expect(sameHash(a, a.slice(1))).toBe(false)
  expect(sameHash(a, '')).toBe(false)
  expect(sameHash('é', 'ab')).toBe(false)
})
