import { expect, test } from 'vitest'
import { createOriginVerifier } from '../../src/chain/origin.js'
import { mismatches, readPayment, type PaidTask, type SignedPayment } from '../../src/chain/payment.js'
import { parseInferTransaction, TransactionError, writeInferTransaction } from '../../src/chain/transaction.js'
import { signed, T1, T1_FILLED, T3, TASK } from './payments.js'
import { USER_UNCOMPRESSED, USER } from './vectors.js'

// CHAIN_FULL=yes changes 100,000 and verifies every signature that gets so far, which takes a minute; CHAIN_SEED=N repeats a run.
const FULL = process.env['CHAIN_FULL'] !== undefined
const SEED = Number(process.env['CHAIN_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const COUNT = FULL ? 100_000 : 15_000
const MOST_VERIFIED = FULL ? COUNT : 300

/** mulberry32, below n. */
function createRandom(seed: number) {
  let state = seed >>> 0
  return (n: number): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((((t ^ (t >>> 14)) >>> 0) * n) / 2 ** 32) | 0
  }
}
const below = createRandom(SEED)

const plain = signed({ privateKey: USER.privateKey.slice(0, 64), nonce: 9, userInput: '什么是租约？🚀' })
const long = signed({ fee: 9000, userInput: 'u'.repeat(128), context: 'c'.repeat(128), modelName: 'm'.repeat(128) })
const genuine: { payment: SignedPayment; task: PaidTask }[] = [
  { payment: readPayment(T1.hex), task: TASK },
  {
    payment: readPayment(T3.hex),
    task: { ...TASK, nonce: null, is_encrypted: true, user_input: T3.user_input, context: T3.context },
  },
  {
    payment: plain,
    task: { ...TASK, nonce: 9, user_input: '什么是租约？🚀', user_address: USER_UNCOMPRESSED.testnet },
  },
  {
    payment: long,
    task: {
      ...TASK,
      fee: null,
      user_input: 'u'.repeat(128),
      context: 'c'.repeat(128),
      model_name: 'm'.repeat(128),
    },
  },
]
const others = [Buffer.from(T1_FILLED.hex, 'hex'), ...genuine.map(({ payment }) => payment.bytes)]

/** Where the spending condition, the payload and its parts begin. */
const STRUCTURE = [0, 5, 6, 43, 44, 109, 110, 111, 115, 116, 117, 146]
const changes: ((bytes: Buffer) => Buffer)[] = [
  (bytes) => turn(bytes, below(bytes.length), 1 << below(8)),
  (bytes) => turn(bytes, STRUCTURE[below(STRUCTURE.length)] ?? 0, 1 + below(255)),
  (bytes) => turn(bytes, bytes.length - 1 - below(60), 1 + below(255)),
  (bytes) => turn(turn(bytes, below(bytes.length), 1 << below(8)), below(bytes.length), 1 << below(8)),
  (bytes) => bytes.subarray(0, below(bytes.length)),
  (bytes) => Buffer.concat([bytes, Buffer.alloc(1 + below(300), below(256))]),
  (bytes) => splice(bytes, below(bytes.length + 1), 0, Buffer.from([below(256)])),
  (bytes) => splice(bytes, below(bytes.length), 1 + below(4), Buffer.alloc(0)),
  (bytes) => splice(bytes, below(bytes.length), 8, Buffer.alloc(8, below(2) * 255)),
  (bytes) => {
    const other = others[below(others.length)] ?? bytes
    const at = below(Math.min(bytes.length, other.length))
    return Buffer.concat([bytes.subarray(0, at), other.subarray(at)])
  },
]
const turn = (bytes: Buffer, at: number, by: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ by
  return copy
}
const splice = (bytes: Buffer, at: number, count: number, put: Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + count)])

test(
  `of ${COUNT} transactions that were changed, none pays for the task but the one that was signed, and none throws (seed ${SEED})`,
  async () => {
    const verify = createOriginVerifier()
    expect(await verify(genuine.map(({ payment }) => payment))).toEqual(genuine.map(() => true))
    const unequal: string[] = []
    const toVerify: SignedPayment[] = []
    const counts = { refused: 0, parsed: 0, same: 0, mismatched: 0, unverified: 0 }
    for (let i = 0; i < COUNT; i++) {
      const { payment, task } = genuine[i % genuine.length] ?? { payment: plain, task: TASK }
      const bytes = (changes[below(changes.length)] ?? Buffer.from)(payment.bytes)
      let tx
      try {
        tx = parseInferTransaction(bytes)
      } catch (error) {
        if (!(error instanceof TransactionError)) throw new Error(`${bytes.toString('hex')} throws`, { cause: error })
        counts.refused++
        continue
      }
      counts.parsed++
      if (!writeInferTransaction(tx).equals(bytes)) unequal.push(bytes.toString('hex'))
      if (bytes.equals(payment.bytes)) counts.same++
      else {
        const changed = readPayment(bytes.toString('hex'))
        if (mismatches(changed, task, 'testnet').length > 0) counts.mismatched++
        else if (toVerify.length < MOST_VERIFIED) toVerify.push(changed)
        else counts.unverified++
      }
    }
    expect(unequal).toEqual([])
    const verified = await verify(toVerify)
    expect(toVerify.filter((_, i) => verified[i]).map(({ bytes }) => bytes.toString('hex'))).toEqual([])
    // Every kind of end is met, or this looks at nothing.
    expect(Math.min(counts.refused, counts.parsed, counts.mismatched, toVerify.length)).toBeGreaterThan(COUNT / 100)
    expect(FULL ? counts.unverified : 0).toBe(0)
  },
  FULL ? 1_800_000 : 60_000,
)
