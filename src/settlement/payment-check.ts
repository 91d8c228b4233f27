import type { Network } from '../chain/address.js'
import { mismatches, readPayment, type SignedPayment } from '../chain/payment.js'
import type { OriginVerifier } from '../chain/origin.js'
import type { SubmissionStep } from '../chain/preparation.js'
import { TransactionError } from '../chain/transaction.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import type { Logger } from '../lib/log.js'
import type { Submission } from '../wire/rest.js'
import type { Accounts } from './accounts.js'

/** What a payment by a key that was not seen before counts as, beside itself: to recover the key takes milliseconds. */
const COST_OF_NEW_KEY = 9
/** How many payers are remembered. */
const MAX_KNOWN = 16_384
const FAILED = refuse('internal', 'the service could not check this transaction; submit it again')
/** What a number holds exactly. */
const MOST = BigInt(Number.MAX_SAFE_INTEGER)

export interface PaymentCheckParts {
  network: Network
  /** Whether each is signed by who pays. */
  verify: OriginVerifier
  /** Null where balances are not looked at. */
  accounts: Accounts | null
  log: Pick<Logger, 'error'>
}

/**
 * Whether the transaction that a submission brings is what the task says, is signed by who pays for it, and can be paid. What is left
 * out of `fee` and `nonce` is taken from it.
 */
export function createPaymentCheck({ network, verify, accounts, log }: PaymentCheckParts): SubmissionStep {
  const read = (submission: Submission, signedTx: string): Outcome<SignedPayment> => {
    try {
      const payment = readPayment(signedTx)
      const left = new Set(submission.left_out)
      const wrong = mismatches(
        payment,
        {
          ...submission,
          fee: left.has('fee') ? null : submission.fee,
          nonce: left.has('nonce') ? null : submission.nonce,
        },
        network,
      )
      const { tx } = payment
      if (tx.nonce > MOST || tx.fee > MOST)
        return refuse('invalid_request', `signed_tx: its nonce and fee must be at most ${MOST}`)
      if (wrong.length === 0) return done(payment)
      const isOthers = wrong.some((w) => w.kind === 'owner')
      return refuse(isOthers ? 'unauthorized' : 'invalid_request', wrong.map((w) => w.message).join('; '))
    } catch (error) {
      if (error instanceof TransactionError) return refuse('invalid_request', `signed_tx: ${error.message}`)
      throw error
    }
  }

  /** Payers whose key was recovered before. */
  const known = new Set<string>()
  const remember = (address: string): void => {
    const [oldest] = known
    if (known.size >= MAX_KNOWN && !known.has(address) && oldest !== undefined) known.delete(oldest)
    known.add(address)
  }

  /** Of a submission whose transaction says what it says: whether it is signed, and what its account has. */
  const finish = async (
    submission: Submission,
    payment: SignedPayment,
    isSigned: boolean,
  ): Promise<Outcome<Submission>> => {
    const { user_address } = submission
    if (!isSigned) {
      return refuse(
        'invalid_request',
        `signed_tx: its signature is not by the key of ${user_address}; sign it with that key, after everything in it is as it shall be`,
      )
    }
    remember(user_address)
    const account = accounts === null ? done(null) : await accounts.get(user_address)
    if (!account.ok) return account
    const { txid, tx } = payment
    return done({
      ...submission,
      fee: Number(tx.fee),
      nonce: Number(tx.nonce),
      paid: { txid, account: account.value },
    })
  }

  const takeAll = async (list: readonly Outcome<Submission>[]): Promise<Outcome<Submission>[]> => {
    const paying: { at: number; submission: Submission; payment: SignedPayment }[] = []
    const taken = list.map((one, at): Outcome<Submission> => {
      if (!one.ok || one.value.signed_tx === null) return one
      const payment = read(one.value, one.value.signed_tx)
      if (payment.ok) paying.push({ at, submission: one.value, payment: payment.value })
      return payment.ok ? one : payment
    })
    const signed = await verify(paying.map(({ payment }) => payment))
    const finished = await Promise.all(
      paying.map(({ submission, payment }, i) => finish(submission, payment, signed[i] === true)),
    )
    paying.forEach(({ at }, i) => {
      taken[at] = finished[i] ?? FAILED
    })
    return taken
  }

  return {
    concerns: ({ signed_tx }) => signed_tx !== null,
    cost: ({ user_address }) => (known.has(user_address) ? 0 : COST_OF_NEW_KEY),
    take: (list) =>
      takeAll(list).catch((error: unknown) => {
        log.error({ event: 'payment.check_failed', err: error }, 'payments could not be checked')
        return list.map((one) => (one.ok && one.value.signed_tx !== null ? FAILED : one))
      }),
  }
}
