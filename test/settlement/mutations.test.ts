import { expect, test } from 'vitest'
import * as v from 'valibot'
import { createOriginVerifier } from '../../src/chain/origin.js'
import { readPayment } from '../../src/chain/payment.js'
import { silentLog } from '../../src/lib/log.js'
import { createSharedTurns } from '../../src/lib/shared-turns.js'
import { createPaymentCheck } from '../../src/settlement/payment-check.js'
import { submitBody, type Submission } from '../../src/wire/rest.js'
import { paidTask } from '../support/paid-service.js'

// SUBMISSIONS=100000 changes as many, SUBMISSION_SEED=N repeats a run.
const COUNT = Number(process.env['SUBMISSIONS'] ?? 2000)
const SEED = Number(process.env['SUBMISSION_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

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

const turnOver = (bytes: Buffer): void => {
  const at = below(bytes.length)
  bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8))
}
const changes: ((hex: string) => string)[] = [
  (hex) => hex,
  (hex) => hex.toUpperCase(),
  (hex) => `0x${hex}`,
  (hex) => `${hex}${'00'.repeat(1 + below(3))}`,
  (hex) => hex.slice(0, below(hex.length)),
  (hex) => hex.slice(0, 20) + hex.slice(20 + 2 * below(3)),
]
for (const flips of [1, 1, 1, 2, 3])
  changes.push((hex) => {
    const bytes = Buffer.from(hex, 'hex')
    for (let i = 0; i < flips; i++) turnOver(bytes)
    return bytes.toString('hex')
  })
/** Fields of the submission beside the transaction: what it says must be what is signed. */
const said: ((task: Submission) => Partial<Submission>)[] = [
  () => ({}),
  () => ({}),
  () => ({}),
  ({ infer_fee }) => ({ infer_fee: infer_fee + 1 }),
  ({ fee }) => ({ fee: fee - 1 }),
  ({ nonce }) => ({ nonce: nonce + 1 }),
  ({ user_input }) => ({ user_input: `${user_input} ` }),
  () => ({ context: '\0' }),
  ({ model_name }) => ({ model_name: model_name.toUpperCase() }),
  () => ({ user_address: 'ST361P1W3HRW7VTPD1S935RF8PJFMRAF4GJMPMQZN' }),
]

test(`of ${COUNT} submissions that were changed none is taken but those that say and bring what was signed (seed ${SEED})`, async () => {
  const check = createPaymentCheck({
    network: 'testnet',
    verify: createOriginVerifier(),
    inTurns: createSharedTurns(),
    accounts: null,
    log: silentLog(),
  })
  const genuine = [0, 1, 2, 3].map((nonce) => paidTask(nonce))
  const counts = { taken: 0, refused: 0 }
  for (let done = 0; done < COUNT; done += 50) {
    const batch = Array.from({ length: 50 }, () => {
      const task = genuine[below(genuine.length)] ?? paidTask(0)
      const submission = v.parse(submitBody, { ...task, signed_tx: (changes[below(changes.length)] ?? String)(task.signed_tx) }) // prettier-ignore
      const differs = said[below(said.length)]?.(submission) ?? {}
      return { task, submission: { ...submission, ...differs }, isSame: Object.keys(differs).length === 0 }
    })
    const outcomes = await check.take(batch.map(({ submission }) => ({ ok: true as const, value: submission })))
    for (const [i, outcome] of outcomes.entries()) {
      const { task, submission, isSame } = batch[i] ?? { task: paidTask(0), submission: null, isSame: false }
      const bytes = submission?.signed_tx?.replace(/^0x/i, '').toLowerCase()
      const isGenuine = isSame && bytes === task.signed_tx
      const what = `${submission?.signed_tx} as ${JSON.stringify(submission)}`
      expect([outcome.ok, what]).toEqual([isGenuine, what])
      if (outcome.ok) {
        counts.taken++
        expect(outcome.value.paid?.txid).toBe(readPayment(task.signed_tx).txid)
      } else {
        counts.refused++
        expect(['invalid_request', 'unauthorized'], outcome.message).toContain(outcome.code)
      }
    }
  }
  // Both ends are met, or this looks at nothing.
  expect(Math.min(counts.taken, counts.refused)).toBeGreaterThan(COUNT / 50)
}, 1_800_000)
