import { Cl, ClarityType, deserializeCV, serializeCV, type ClarityValue as TheirValue } from '@stacks/transactions'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ClarityError, parseClarity, principalArgument, readStake, type ClarityValue } from '../../src/chain/clarity.js'
import { encodeC32 } from '../../src/chain/c32.js'
import { STAKE } from './payments.js'
import { NODE } from './vectors.js'

test('a stake is read from the answer of the chain, and who has none from its none', () => {
  const stake = { amount: 20_000_000n, lockPeriod: 2100n, lockStart: 1000n, nodeId: 'node-001', unlockHeight: 3100n }
  expect(readStake(STAKE)).toEqual(stake)
  expect(readStake(STAKE.slice(2).toUpperCase())).toEqual(stake)
  expect(readStake('0x09')).toBeNull()
})

test('the argument that asks for a stake is the principal of the node', () => {
  expect(principalArgument(NODE.testnet)).toBe('0x051a3bc28d6d92d9073fb5e3adf481795eaf446bceed')
  expect(`0x${serializeCV(Cl.principal(NODE.testnet))}`).toBe(principalArgument(NODE.testnet))
  for (const none of ['', NODE.testnet.toLowerCase(), `${NODE.testnet}.pox-4`])
    expect(() => principalArgument(none)).toThrow(
      new ClarityError('address: must be one of Stacks, such as ST… or SP…, with its checksum'),
    )
})

test('the result of a paid inference is ok with its hash, that of an unpaid one err none', () => {
  const hash = 'b03f8e79e56364dfcbc08cd736878dff150f9ce7ce069fa82e7687c35d029890'
  expect(parseClarity(`0x070200000020${hash}`)).toEqual({
    type: 'ok',
    value: { type: 'buffer', value: Buffer.from(hash, 'hex') },
  })
  expect(parseClarity('0x0809')).toEqual({ type: 'err', value: { type: 'none' } })
})

test.each([
  ['0x', 'value: needs 1 byte at offset 0; there are only 0 in all'],
  ['0x0', 'value: must be bytes in hex'],
  ['zz', 'value: must be bytes in hex'],
  ['0x0900', 'value: must end after its last field; bytes left over: 1'],
  ['0x00' + '0'.repeat(32), 'value: is of type 00, which is not read here'],
  ['0x02ffffffff', 'value: needs 4294967295 bytes at offset 5; there are only 5 in all'],
  ['0x0cffffffff', 'value: a tuple must have at most 64 fields; it has 4294967295'],
  ['0x0c000000020161090161' + '09', 'value: has a twice'],
  ['0x0c000000010009', 'value: the name of field 1 of a tuple is none'],
  ['0x0c00000001022d2d09', 'value: the name of field 1 of a tuple is none'],
  ['0x0520' + '00'.repeat(20), 'value: the version of a principal must be at most 31; it is 32'],
  ['0a'.repeat(17) + '09', 'value: must have at most 16 levels'],
  ['0a'.repeat(4097), 'value: must have at most 4096 bytes'],
])('what is no value, or one too large, is refused: %#', (hex, message) => {
  expect(() => parseClarity(hex)).toThrow(new ClarityError(message))
})

test.each([
  ['0x0703', 'stake: must be none, or some tuple'],
  ['0x0a09', 'stake: must be none, or some tuple'],
  [
    STAKE.replace('0d756e6c6f636b2d686569676874', '0d756e6c6f636b2d686569676875'),
    'stake: unlock-height must be a uint',
  ],
  [STAKE.replace('076e6f64652d6964', '076e6f64652d6965'), 'stake: node-id must be a buffer'],
])('an answer that is no stake is refused: %#', (hex, message) => {
  expect(() => readStake(hex)).toThrow(new ClarityError(message))
})

const value: fc.Arbitrary<TheirValue> = fc.letrec<{ any: TheirValue }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.bigInt(0n, 2n ** 128n - 1n).map(Cl.uint),
    fc.uint8Array({ maxLength: 64 }).map(Cl.buffer),
    fc.boolean().map(Cl.bool),
    fc.constant(Cl.principal(NODE.testnet)),
    fc.constant(Cl.none()),
    tie('any').map(Cl.some),
    tie('any').map(Cl.ok),
    tie('any').map(Cl.error),
    fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/), tie('any'), { maxKeys: 5 }).map(Cl.tuple),
  ),
})).any

/** Our reading of a value in the words of the other library. */
function theirs(value: ClarityValue): TheirValue {
  switch (value.type) {
    case 'uint':
      return Cl.uint(value.value)
    case 'buffer':
      return Cl.buffer(value.value)
    case 'bool':
      return Cl.bool(value.value)
    case 'principal':
      return Cl.principal(encodeC32(value.value))
    case 'none':
      return Cl.none()
    case 'some':
      return Cl.some(theirs(value.value))
    case 'ok':
      return Cl.ok(theirs(value.value))
    case 'err':
      return Cl.error(theirs(value.value))
    case 'tuple':
      return Cl.tuple(Object.fromEntries([...value.value].map(([name, field]) => [name, theirs(field)])))
  }
}

test('what another library writes is read as it was meant', () => {
  fc.assert(
    fc.property(value, (given) => {
      const hex = serializeCV(given)
      expect(serializeCV(theirs(parseClarity(hex)))).toBe(hex)
    }),
    { numRuns: 300 },
  )
  expect(deserializeCV(STAKE).type).toBe(ClarityType.OptionalSome)
})

test('no text of any length or shape is anything but a value or a ClarityError', () => {
  const bytes = fc.uint8Array({ maxLength: 80 }).map((b) => Buffer.from(b).toString('hex'))
  const types = fc
    .array(fc.constantFrom(...('0102030405070809' + '0a0c')), { maxLength: 60 })
    .map((list) => list.join(''))
  const mutated = fc.tuple(fc.nat(STAKE.length - 3), fc.constantFrom(...'0123456789abcdef')).map(([at, digit]) => {
    return STAKE.slice(0, at + 2) + digit + STAKE.slice(at + 3)
  })
  fc.assert(
    fc.property(
      fc.oneof(
        bytes,
        types,
        mutated,
        fc.string(),
        mutated.map((s) => s.slice(0, s.length >> 1)),
      ),
      (text) => {
        for (const read of [parseClarity, readStake]) {
          try {
            read(text)
          } catch (error) {
            expect(error).toBeInstanceOf(ClarityError)
          }
        }
      },
    ),
    { numRuns: 1000 },
  )
})
