import { secp256k1 } from '@noble/curves/secp256k1.js'
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createOriginVerifier } from '../../src/chain/origin.js'
import { readPayment, type SignedPayment } from '../../src/chain/payment.js'
import { parseInferTransaction, TransactionError, txidOf, writeInferTransaction } from '../../src/chain/transaction.js'
import { createSharedTurns } from '../../src/lib/shared-turns.js'
import { signed, T1, T1_FILLED, T3 } from './payments.js'
import { flip, NODE, otherS, SIGNER, USER } from './vectors.js'

const vectors = [T1.hex, T1_FILLED.hex, T3.hex].map(readPayment)
const withSignature = ({ tx }: SignedPayment, signature: string): SignedPayment =>
  readPayment(writeInferTransaction({ ...tx, signature }).toString('hex'))
/** Remembers no key. */
const verifyAnew = createOriginVerifier({ maxKnownKeys: 0 })
/** Each of them by a verifier that has not seen its key, and by one that has. */
async function verifyBoth(payments: readonly SignedPayment[]): Promise<boolean[][]> {
  const unseen = await verifyAnew(payments)
  const seen = createOriginVerifier()
  await seen([...vectors, ...kinds])
  return [unseen, await seen(payments)]
}
const kinds = [
  signed({ privateKey: SIGNER.privateKey.slice(0, 64) }),
  signed({ hashMode: 'p2wpkh' }),
  signed({ network: 'mainnet', privateKey: NODE.privateKey }),
]

test('who signed is found, the first time and each other: compressed or not, P2WPKH, on each network, filled in or not', async () => {
  const all = [...vectors, ...kinds]
  expect(await verifyBoth(all)).toEqual([all.map(() => true), all.map(() => true)])
})

test('the twin of a signature with a high s is as good, and another transaction', async () => {
  for (const payment of [...vectors, ...kinds]) {
    const { signature } = payment.tx
    const v = (parseInt(signature.slice(0, 2), 16) ^ 1).toString(16).padStart(2, '0')
    const twin = withSignature(payment, v + otherS(signature.slice(2)))
    expect(await verifyBoth([twin])).toEqual([[true], [true]])
    expect(twin.txid).not.toBe(payment.txid)
  }
})

test('a wrong recovery id is refused, although r and s are right: the chain would find another key', async () => {
  const wrong = [1, 2, 3, 4, 27, 255].map((by) => {
    const v = (parseInt(T1.hex.slice(88, 90), 16) ^ by).toString(16).padStart(2, '0')
    return withSignature(readPayment(T1.hex), v + T1.hex.slice(90, 218))
  })
  expect(await verifyBoth(wrong)).toEqual([wrong.map(() => false), wrong.map(() => false)])
})

test('r and s out of range are refused', async () => {
  const order = 'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141'
  const [r, s] = [T1.hex.slice(90, 154), T1.hex.slice(154, 218)]
  const none = '00'.repeat(32)
  const wrong = ['00', '01', '02', '03'].flatMap((v) =>
    [none + s, r + none, order + s, r + order, 'ff'.repeat(32) + s, none + none].map((rs) =>
      withSignature(readPayment(T1.hex), v + rs),
    ),
  )
  expect(await verifyBoth(wrong)).toEqual([wrong.map(() => false), wrong.map(() => false)])
})

test('a signature is of one key in one form: not of the same key in another, or of another key', async () => {
  const { tx } = readPayment(T1.hex)
  const wrong = [
    { ...tx, keyEncoding: 'uncompressed' as const },
    { ...tx, hashMode: 'p2wpkh' as const },
    { ...tx, signer: kinds[0]?.tx.signer ?? '' },
    { ...tx, signer: kinds[2]?.tx.signer ?? '' },
  ].map((one) => readPayment(writeInferTransaction(one).toString('hex')))
  expect(await verifyBoth(wrong)).toEqual([wrong.map(() => false), wrong.map(() => false)])
})

test('the key with the same x and the other y is another key', async () => {
  const { tx, presign } = readPayment(T1.hex)
  const negative = secp256k1.Point.Fn.neg(BigInt(`0x${USER.privateKey.slice(0, 64)}`))
  const signature = secp256k1.sign(Buffer.from(presign, 'hex'), secp256k1.Point.Fn.toBytes(negative), {
    prehash: false,
    format: 'recovered',
  })
  const wrong = readPayment(
    writeInferTransaction({ ...tx, signature: Buffer.from(signature).toString('hex') }).toString('hex'),
  )
  expect(wrong.presign).toBe(presign)
  expect(await verifyBoth([wrong])).toEqual([[false], [false]])
})

/** What no signature covers: who is paid, and the output hash with its length. */
const unsigned = (bit: number): boolean => {
  const at = bit >> 3
  return at >= 164 && at <= 185
}

test('any one bit that was signed is refused when it is turned, and no other changes the id', async () => {
  const bytes = T1.hex.length / 2
  const refused: SignedPayment[] = []
  // Each fifth is one or two of each byte; the recovery id is turned as a whole above.
  for (let bit = 0; bit < bytes * 8; bit += process.env['CHAIN_FULL'] === undefined ? 5 : 1) {
    const turned = flip(T1.hex, bit)
    try {
      const tx = parseInferTransaction(Buffer.from(turned, 'hex'))
      if (unsigned(bit)) expect(txidOf(tx)).toBe(T1.txid)
      else refused.push(readPayment(turned))
    } catch (error) {
      expect(error).toBeInstanceOf(TransactionError)
    }
  }
  expect(refused.length).toBeGreaterThan(200)
  const known = createOriginVerifier()
  expect(await known([readPayment(T1.hex)])).toEqual([true])
  const verified = await known(refused)
  expect(refused.filter((_, i) => verified[i])).toEqual([])
}, 60_000)

/** A verifier in whose turns there is time for one step each, and how many a batch takes. */
function createCounted(maxKnownKeys?: number) {
  let readings = 0
  const inTurns = createSharedTurns(() => ++readings * 1.5)
  const verify = createOriginVerifier({ inTurns, ...(maxKnownKeys === undefined ? {} : { maxKnownKeys }) })
  return async (list: readonly SignedPayment[]): Promise<number> => {
    const before = readings
    expect(await verify(list)).toEqual(list.map(() => true))
    return Math.ceil((readings - before) / 4) // a turn reads the clock four times, the last one three times
  }
}

test('a batch gives everything else its turn after each step: a new key takes five, a known one one', async () => {
  const payments = Array.from({ length: 8 }, (_, i) =>
    signed({ privateKey: `${randomBytes(32).toString('hex')}01`, nonce: i }),
  )
  const turnsOf = createCounted()
  expect(await turnsOf(payments)).toBe(payments.length * 5 + 1)
  expect(await turnsOf(payments)).toBe(payments.length + 1)
  const another = Array.from({ length: 8 }, (_, nonce) => signed({ nonce }))
  expect(await turnsOf(another)).toBe(another.length + 5) // the first of a batch is known to the next
})

test('the keys that are remembered are bounded: the one that was longest not seen is forgotten, and found again', async () => {
  const turnsOf = createCounted(2)
  const [a, b, c] = kinds.map((one) => [one])
  if (a === undefined || b === undefined || c === undefined) throw new Error('there are three kinds')
  const turns: number[] = []
  for (const one of [a, b, a, c, a, b]) turns.push(await turnsOf(one))
  expect(turns).toEqual([6, 6, 2, 6, 2, 6])
})

test('of no transactions there is nothing to verify', async () => {
  expect(await verifyAnew([])).toEqual([])
})
