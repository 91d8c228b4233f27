import { BytesReader, deserializeAuthorization, deserializeLPList, verifyOrigin } from '@stacks/transactions'
import { expect, test } from 'vitest'
import { principalOf } from '../../src/chain/address.js'
import { mismatches, readPayment, type PaidTask, type SignedPayment } from '../../src/chain/payment.js'
import { fillIn, TransactionError, UNSET_PRINCIPAL, writeInferTransaction } from '../../src/chain/transaction.js'
import { signed, T1, T1_FILLED, T3, TASK } from './payments.js'
import { NODE, SIGNER, USER, USER_UNCOMPRESSED } from './vectors.js'

const messages = (payment: SignedPayment, task: Partial<PaidTask> = {}, network: 'mainnet' | 'testnet' = 'testnet') =>
  mismatches(payment, { ...TASK, ...task }, network).map(({ message }) => message)
/** T1 with another field, its signature left as it is: that is not looked at here. */
const changed = (change: Partial<SignedPayment['tx']>): SignedPayment =>
  readPayment(writeInferTransaction({ ...readPayment(T1.hex).tx, ...change } as SignedPayment['tx']).toString('hex'))

test('the transaction of a task pays for it, on its network, whichever way its hex is written', () => {
  for (const hex of [T1.hex, `0x${T1.hex}`, T1.hex.toUpperCase(), `0X${T1.hex}`]) {
    expect(readPayment(hex).txid).toBe(T1.txid)
    expect(messages(readPayment(hex))).toEqual([])
    expect(mismatches(readPayment(hex), TASK, 'devnet')).toEqual([])
  }
  const main = signed({ network: 'mainnet' })
  expect(messages(main, { user_address: USER.mainnet }, 'mainnet')).toEqual([])
  const plain = signed({ privateKey: USER.privateKey.slice(0, 64) })
  expect(messages(plain, { user_address: USER_UNCOMPRESSED.testnet })).toEqual([])
  const witness = signed({ hashMode: 'p2wpkh' })
  expect(messages(witness, { user_address: witness.origin })).toEqual([])
})

test('fee and nonce are those of the transaction where the task says none', () => {
  expect(messages(readPayment(T1.hex), { fee: null, nonce: null })).toEqual([])
  expect(messages(readPayment(T1.hex), { fee: 0, nonce: 0 })).toEqual([
    'fee: the task says 0, the signed transaction 300',
    'nonce: the task says 0, the signed transaction 7',
  ])
})

test('an encrypted task is paid by a transaction with the placeholders of its texts as they were sent', () => {
  const task = { user_input: T3.user_input, context: T3.context, is_encrypted: true, nonce: 8 }
  expect(readPayment(T3.hex).txid).toBe(T3.txid)
  expect(messages(readPayment(T3.hex), task)).toEqual([])
  expect(messages(readPayment(T3.hex), { ...task, context: `${T3.context} ` })).toEqual([
    expect.stringMatching(/^context: the task says "enc:[0-9a-f]{16}", the signed transaction "enc:0db58042e31a6d9d"$/),
  ])
  expect(messages(readPayment(T3.hex), { nonce: 8 })).toEqual([
    'user_input: the task says "What is a lease?", the signed transaction "enc:480cfc64504b937d"',
    'context: the task says "", the signed transaction "enc:0db58042e31a6d9d"',
  ])
})

test('a transaction of somebody else is told apart from one that pays for something else', () => {
  expect(mismatches(readPayment(T1.hex), { ...TASK, user_address: SIGNER.testnet }, 'testnet')).toEqual([
    {
      kind: 'owner',
      field: 'user_address',
      message: `user_address: the task says "${SIGNER.testnet}", the signed transaction is by ${USER.testnet}`,
    },
  ])
  expect(mismatches(readPayment(T1.hex), { ...TASK, infer_fee: 2000 }, 'testnet')).toEqual([
    {
      kind: 'terms',
      field: 'infer_fee',
      message: 'infer_fee: the task says 2000, the signed transaction 2500',
    },
  ])
})

test.each<[string, SignedPayment, Partial<PaidTask>, string]>([
  ['fee', readPayment(T1.hex), { fee: 301 }, 'fee: the task says 301, the signed transaction 300'],
  ['nonce', readPayment(T1.hex), { nonce: 8 }, 'nonce: the task says 8, the signed transaction 7'],
  [
    'model_name',
    readPayment(T1.hex),
    { model_name: 'Llama-3-8b' },
    'model_name: the task says "Llama-3-8b", the signed transaction "llama-3-8b"',
  ],
  [
    'a text that no transaction can hold',
    readPayment(T1.hex),
    { user_input: '问'.repeat(60) },
    `user_input: the task says "${'问'.repeat(60)}", the signed transaction "What is a lease?"; one signed transaction holds at most 128 bytes of it: encrypt what is longer`,
  ],
  [
    'a very long text',
    readPayment(T1.hex),
    { context: 'c'.repeat(100_000) },
    `context: the task says "${'c'.repeat(80)}"… (100000 characters), the signed transaction ""; one signed transaction holds at most 128 bytes of it: encrypt what is longer`,
  ],
  [
    'a user that is not the signer',
    changed({ user: principalOf(SIGNER.testnet) ?? UNSET_PRINCIPAL }),
    {},
    `user: must be who signs, ${USER.testnet}; the signed transaction says ${SIGNER.testnet}`,
  ],
  [
    'a user on the other network',
    changed({ user: { ...readPayment(T1.hex).tx.user, version: 22 } }),
    {},
    `user: must be who signs, ${USER.testnet}; the signed transaction says ${USER.mainnet}`,
  ],
  ['chain id', changed({ chainId: 1 }), {}, 'chain_id: of testnet it is 80000000, in the signed transaction 00000001'],
  [
    'a node',
    changed({ node: { version: 26, hash160: '3bc28d6d92d9073fb5e3adf481795eaf446bceed' } }),
    {},
    `node: must be unset, S0000000000000000000002AA028H, until a node has the task; the signed transaction says ${NODE.testnet}`,
  ],
  [
    'a version of the unset node',
    changed({ node: { ...UNSET_PRINCIPAL, version: 26 } }),
    {},
    'node: must be unset, S0000000000000000000002AA028H, until a node has the task; the signed transaction says ST000000000000000000002AMW42H',
  ],
  [
    'a fee that no miner takes',
    signed({ fee: 261 }),
    { fee: 261 },
    'fee: must be at least 262 micro-STX, one for each byte with the output hash, or no miner takes it; the signed transaction pays 261',
  ],
  [
    'sponsored',
    changed({ auth: 'sponsored', sponsor: readPayment(T1.hex).tx, fee: 1000n }),
    { fee: 1000 },
    'auth: must be standard: who pays signs; the signed transaction is sponsored',
  ],
])('a task that is not what is paid is refused by the field and both values: %s', (_, payment, task, message) => {
  expect(messages(payment, task)).toEqual([message])
})

test('a transaction of the other network is none of this one', () => {
  expect(messages(readPayment(T1.hex), { user_address: USER.testnet }, 'mainnet')).toEqual([
    'version: of mainnet it is 00, in the signed transaction 80',
    'chain_id: of mainnet it is 00000001, in the signed transaction 80000000',
  ])
})

test('the least fee counts the output hash that comes later', () => {
  expect(messages(signed({ fee: 262 }), { fee: 262 })).toEqual([])
})

test('one that is filled in already is refused for both', () => {
  expect(messages(readPayment(T1_FILLED.hex)).map((message) => message.split(':')[0])).toEqual([
    'node',
    'output_hash',
    'fee', // for it counts the hash again
  ])
})

test.each([
  ['zz', 'transaction: must be bytes in hex, two digits each'],
  [T1.hex.slice(1), 'transaction: must be bytes in hex, two digits each'],
  [` ${T1.hex} `, 'transaction: must be bytes in hex, two digits each'],
  [
    '80'.repeat(50_000_000),
    'transaction: must have at most 787 bytes in hex, as one of an inference has; it has 50000000',
  ],
  ['', 'version: needs 1 byte at offset 0; there are only 0 in all'],
])('what is no transaction in hex is refused: %#', (hex, message) => {
  expect(() => readPayment(hex)).toThrow(new TransactionError(message))
})

test('another library reads the parts it knows as we do, and takes our hash for what was signed', () => {
  const cases = [
    readPayment(T1.hex),
    readPayment(T1_FILLED.hex),
    readPayment(T3.hex),
    signed({
      privateKey: SIGNER.privateKey.slice(0, 64),
      network: 'mainnet',
      nonce: 2 ** 53 - 1,
      userInput: '什么是租约？',
    }),
    readPayment(fillIn(signed({ context: 'c'.repeat(128) }).bytes, FILLED).toString('hex')),
  ]
  for (const { tx, bytes, message } of cases) {
    const reader = new BytesReader(bytes)
    reader.readBytes(5)
    const auth = deserializeAuthorization(reader)
    expect(auth.spendingCondition).toMatchObject({
      signer: tx.signer,
      nonce: tx.nonce,
      fee: tx.fee,
      keyEncoding: tx.keyEncoding === 'compressed' ? 0 : 1,
      signature: { data: tx.signature },
    })
    const initial = message.subarray(0, 32).toString('hex')
    expect(() => verifyOrigin(auth, initial)).not.toThrow()
    expect(() => verifyOrigin(auth, initial.replace(/^../, initial.startsWith('00') ? '01' : '00'))).toThrow()
    expect([reader.readUInt8(), reader.readUInt8()]).toEqual([tx.anchorMode, tx.postConditionMode])
    expect(deserializeLPList(reader, 0).values).toEqual([])
    expect(reader.readUInt8()).toBe(9)
  }
})

const FILLED = { payee: readPayment(T1_FILLED.hex).tx.node, outputHash: T1_FILLED.outputHash }
