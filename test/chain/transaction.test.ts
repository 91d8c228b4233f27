import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addressOf, bootAddress, principalOf, principalOfKey } from '../../src/chain/address.js'
import { encodeC32 } from '../../src/chain/c32.js'
import { readPayment } from '../../src/chain/payment.js'
import { signInferTransaction } from '../../src/chain/signing.js'
import {
  fillIn,
  masked,
  MAX_TRANSACTION_BYTES,
  originOf,
  parseInferTransaction,
  sha512_256,
  signedMessage,
  TransactionError,
  txidOf,
  UNSET_PRINCIPAL,
  writeInferTransaction,
  type InferTransaction,
} from '../../src/chain/transaction.js'
import { readKey } from '../../src/wire/keys.js'
import { PAYMENT, T1, T1_FILLED, T3 } from './payments.js'
import { NODE, USER, USER_UNCOMPRESSED } from './vectors.js'

const bytesOf = (hex: string): Buffer => Buffer.from(hex, 'hex')
const parse = (hex: string): InferTransaction => parseInferTransaction(bytesOf(hex))
const t1 = parse(T1.hex)
/** T1 with other bytes from an offset on. */
const patched = (at: number, hex: string): string => T1.hex.slice(0, at * 2) + hex + T1.hex.slice(at * 2 + hex.length)
const node = principalOf(NODE.testnet) ?? UNSET_PRINCIPAL

/** Every transaction of an inference that there is. */
const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('hex'))
const u64 = fc.bigInt(0n, 2n ** 64n - 1n)
const string = fc.string({ unit: 'binary', maxLength: 128 }).filter((s) => Buffer.byteLength(s) <= 128)
const principal = fc.record({ version: fc.nat(31), hash160: hex(20) })
const condition = fc
  .record({ signer: hex(20), nonce: u64, fee: u64, signature: hex(65) })
  .chain((rest) =>
    fc
      .constantFrom(
        { hashMode: 'p2pkh', keyEncoding: 'compressed' } as const,
        { hashMode: 'p2pkh', keyEncoding: 'uncompressed' } as const,
        { hashMode: 'p2wpkh', keyEncoding: 'compressed' } as const,
      )
      .map((kind) => ({ ...rest, ...kind })),
  )
const transaction: fc.Arbitrary<InferTransaction> = fc
  .tuple(
    condition,
    fc.record({
      version: fc.constantFrom(0x00 as const, 0x80 as const),
      chainId: fc.nat(2 ** 32 - 1),
      anchorMode: fc.constantFrom(1 as const, 2 as const, 3 as const),
      postConditionMode: fc.constantFrom(1 as const, 2 as const),
      user: principal,
      amount: u64,
      userInput: string,
      context: string,
      node: principal,
      modelName: string,
      outputHash: string,
    }),
    fc.oneof(
      fc.constant({ auth: 'standard' } as const),
      condition.map((sponsor) => ({ auth: 'sponsored', sponsor }) as const),
    ),
  )
  .map(([origin, rest, auth]) => ({ ...origin, ...rest, ...auth }))

test('what today’s client signed is read field by field', () => {
  expect(t1).toEqual({
    version: 0x80,
    chainId: 0x80000000,
    auth: 'standard',
    hashMode: 'p2pkh',
    signer: 'fc7250a211deddc70ee5a2738de5f07817351cef',
    nonce: 7n,
    fee: 300n,
    keyEncoding: 'compressed',
    signature: T1.hex.slice(44 * 2, 109 * 2),
    anchorMode: 3,
    postConditionMode: 2,
    user: { version: 26, hash160: 'fc7250a211deddc70ee5a2738de5f07817351cef' },
    amount: 2500n,
    userInput: 'What is a lease?',
    context: '',
    node: UNSET_PRINCIPAL,
    modelName: 'llama-3-8b',
    outputHash: '',
  })
  expect(encodeC32(UNSET_PRINCIPAL)).toBe('S0000000000000000000002AA028H')
})

test('its id, what was signed and who pays are as the client has them', () => {
  expect(txidOf(t1)).toBe(T1.txid)
  expect(txidOf(parse(T3.hex))).toBe(T3.txid)
  expect(originOf(t1)).toBe(USER.testnet)
  const message = signedMessage(t1)
  expect(message.toString('hex')).toBe(`${T1.initial}04000000000000012c0000000000000007`)
  expect(sha512_256(message).toString('hex')).toBe(T1.presign)
  expect(readPayment(T1.hex)).toMatchObject({ txid: T1.txid, presign: T1.presign, origin: USER.testnet, tx: t1 })
})

test('who is paid and for what is filled in, which changes neither its id nor what was signed', () => {
  const outputHash = createHash('sha256').update(T1_FILLED.output).digest('hex')
  expect(outputHash).toBe(T1_FILLED.outputHash)
  const filled = fillIn(bytesOf(T1.hex), { payee: node, outputHash })
  expect(filled.toString('hex')).toBe(T1_FILLED.hex)
  expect(txidOf(parse(T1_FILLED.hex))).toBe(T1.txid)
  expect(signedMessage(parse(T1_FILLED.hex))).toEqual(signedMessage(t1))
  expect(masked(filled).toString('hex')).toBe(T1.hex)
  expect(fillIn(filled, { payee: node, outputHash })).toEqual(filled)
  expect(masked(bytesOf(T1.hex)).toString('hex')).toBe(T1.hex)
})

test.each(['', 'b03f', 'B03F8E79E56364DFCBC08CD736878DFF150F9CE7CE069FA82E7687C35D029890', '0x' + '0'.repeat(62)])(
  'an output hash for which the chain pays nobody is not filled in: %j',
  (outputHash) => {
    expect(() => fillIn(bytesOf(T1.hex), { payee: node, outputHash })).toThrow(
      new TransactionError('output_hash: must be a SHA-256 in lower-case hex, 64 digits'),
    )
  },
)

test('signing makes the very bytes that today’s client makes, and so does a key that is not compressed', () => {
  expect(signInferTransaction(PAYMENT).toString('hex')).toBe(T1.hex)
  const uncompressed = parseInferTransaction(
    signInferTransaction({ ...PAYMENT, privateKey: PAYMENT.privateKey.slice(0, 64) }),
  )
  expect(uncompressed.keyEncoding).toBe('uncompressed')
  expect(originOf(uncompressed)).toBe(USER_UNCOMPRESSED.testnet)
  const main = parseInferTransaction(signInferTransaction({ ...PAYMENT, network: 'mainnet' }))
  expect([main.version, main.chainId, originOf(main)]).toEqual([0, 1, USER.mainnet])
  const witness = parseInferTransaction(signInferTransaction({ ...PAYMENT, hashMode: 'p2wpkh' }))
  expect(originOf(witness)).toMatch(/^SN/) // the chain prints it with the version of several keys
})

test('the principal of a key is that of its address, and contracts of a network begin at its own', () => {
  const key = readKey(NODE.publicKey)
  if (key === null) throw new Error('NODE has no key')
  expect(principalOfKey(key, 'testnet')).toEqual(node)
  expect(principalOf(addressOf(key, 'mainnet'))).toEqual({ ...node, version: 22 })
  expect(principalOf('S0000000000000000000002AA028H')).toBeNull()
  expect(principalOf(`${NODE.testnet}0`)).toBeNull()
  expect([bootAddress('mainnet'), bootAddress('testnet'), bootAddress('devnet')]).toEqual([
    'SP000000000000000000002Q6VF78',
    'ST000000000000000000002AMW42H',
    'ST000000000000000000002AMW42H',
  ])
})

test.each([
  [patched(0, '81'), 'version: must be 00 (mainnet) or 80 (testnet); it is 81'],
  [patched(5, '06'), 'auth: must be 04 (standard) or 05 (sponsored); it is 06'],
  [patched(6, '01'), 'origin.hash_mode: is multisig (01); sign with one key, P2PKH or P2WPKH'],
  [patched(6, '07'), 'origin.hash_mode: is multisig (07); sign with one key, P2PKH or P2WPKH'],
  [patched(6, '04'), 'origin.hash_mode: must be 00 (P2PKH) or 02 (P2WPKH); it is 04'],
  [patched(43, '02'), 'origin.key_encoding: must be 00 (compressed) or 01 (uncompressed); it is 02'],
  [
    patched(6, '02').slice(0, 86) + '01' + T1.hex.slice(88),
    'origin.key_encoding: must be 00 (compressed), as hash_mode is P2WPKH; it is 01',
  ],
  [patched(109, '00'), 'anchor_mode: must be 01, 02 or 03; it is 00'],
  [patched(110, '03'), 'post_condition_mode: must be 01 (allow) or 02 (deny); it is 03'],
  [patched(111, '00000001'), 'post_conditions: must be none for an inference; there are 1'],
  [patched(115, '00'), 'payload: is a token transfer, not an inference (09)'],
  [patched(115, '02'), 'payload: is a contract call, not an inference (09)'],
  [patched(115, '0a'), 'payload: is the registration of a model, not an inference (09)'],
  [patched(115, 'ff'), 'payload: is of the unknown type ff, not an inference (09)'],
  [patched(116, '06'), 'user: is a contract (06); it must be a standard principal (05)'],
  [patched(116, '01'), 'user: must be a standard principal (05); its type is 01'],
  [patched(117, '20'), 'user: its version must be at most 31; it is 32'],
  [patched(146, '81'), 'user_input: must have at most 128 bytes; it has 129'],
  [patched(147, 'c328'), 'user_input: must be valid UTF-8'],
  [patched(147, 'eda080'), 'user_input: must be valid UTF-8'],
  [`${T1.hex}00`, 'transaction: must end after output_hash; bytes left over: 1'],
  [T1.hex.slice(0, -2), 'output_hash: needs 1 byte at offset 197; there are only 197 in all'],
  ['', 'version: needs 1 byte at offset 0; there are only 0 in all'],
  ['00'.repeat(800), 'transaction: must have at most 787 bytes, as one of an inference has; it has 800'],
])('what is no transaction of an inference is refused by name: %#', (bytes, message) => {
  expect(() => parse(bytes)).toThrow(new TransactionError(message))
})

test.each([
  [{ userInput: '问'.repeat(43) }, 'user_input: must have at most 128 bytes in UTF-8; it has 129'],
  [{ context: '\ud800' }, 'context: must be valid Unicode (it holds a lone surrogate)'],
  [{ amount: -1n }, 'amount: must be an integer from 0 to 18446744073709551615; it is -1'],
  [{ fee: 2n ** 64n }, 'origin.fee: must be an integer from 0 to 18446744073709551615; it is 18446744073709551616'],
  [{ chainId: 1.5 }, 'chain_id: must be an integer from 0 to 4294967295; it is 1.5'],
  [{ signer: 'FC' }, 'origin.signer: must be 20 bytes in lower-case hex'],
  [{ node: { version: 32, hash160: '00'.repeat(20) } }, 'node: its version must be from 0 to 31; it is 32'],
])('what no transaction can hold is not written: %#', (change: Partial<InferTransaction>, message) => {
  expect(() => writeInferTransaction({ ...t1, ...change } as InferTransaction)).toThrow(new TransactionError(message))
})

test('what is written is read as the same, byte for byte and field for field, and no longer than the most', () => {
  fc.assert(
    fc.property(transaction, (tx) => {
      const bytes = writeInferTransaction(tx)
      expect(bytes.length).toBeLessThanOrEqual(MAX_TRANSACTION_BYTES)
      const read = parseInferTransaction(bytes)
      expect(read).toEqual(tx)
      expect(writeInferTransaction(read).equals(bytes)).toBe(true)
    }),
    { numRuns: 300 },
  )
})

test('whatever is filled in, id and what was signed stay', () => {
  fc.assert(
    fc.property(transaction, principal, hex(32), (tx, payee, outputHash) => {
      const filled = fillIn(writeInferTransaction(tx), { payee, outputHash })
      const read = parseInferTransaction(filled)
      expect([read.node, read.outputHash]).toEqual([payee, outputHash])
      expect(txidOf(read)).toBe(txidOf(tx))
      expect(signedMessage(read)).toEqual(signedMessage(tx))
      expect(masked(filled)).toEqual(masked(writeInferTransaction(tx)))
    }),
    { numRuns: 100 },
  )
})

test('no bytes of any length are anything but a transaction or a TransactionError', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 1000 }), fc.uint8Array({ maxLength: 40 })), (bytes) => {
      expect(() => parseInferTransaction(bytes)).toThrow(TransactionError)
    }),
    { numRuns: 300 },
  )
})
