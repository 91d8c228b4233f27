import type { Network } from '../chain/address.js'
import { mismatches, readPayment, type SignedPayment } from '../chain/payment.js'
import type { OriginVerifier } from '../chain/origin.js'
import type { SubmissionStep } from '../chain/preparation.js'
import { TransactionError } from '../chain/transaction.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import type { Submission } from '../wire/rest.js'
import type { Accounts } from './accounts.js'

/** What a payment by a key that was not seen before counts as, beside itself: to recover the key takes milliseconds. */
const COST_OF_NEW_KEY = 9

export interface PaymentCheckParts {
  network: Network
  verifier: OriginVerifier
  /** Null where balances are not looked at. */
  accounts: Accounts | null
}

/**
 * Whether the transaction that a submission brings is what the task says, is signed by who pays for it, and can be paid. What is left
 * out of `fee` and `nonce` is taken from it.
 */
export function createPaymentCheck({ network, verifier, accounts }: PaymentCheckParts): SubmissionStep {
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
      const [first] = wrong
      if (first === undefined) return done(payment)
      return refuse(first.is === 'owner' ? 'unauthorized' : 'invalid_request', wrong.map((w) => w.message).join('; '))
    } catch (error) {
      if (error instanceof TransactionError) return refuse('invalid_request', `signed_tx: ${error.message}`)
      throw error
    }
  }

  const check = async (one: Outcome<Submission>): Promise<Outcome<Submission>> => {
    if (!one.ok || one.value.signed_tx === null) return one
    const submission = one.value
    const payment = read(submission, one.value.signed_tx)
    if (!payment.ok) return payment
    if (!(await verifier.verify(payment.value))) {
      return refuse(
        'invalid_request',
        `signed_tx: its signature is not by the key of ${submission.user_address}; sign it with that key, after everything in it is as it shall be`,
      )
    }
    const account = accounts === null ? done(null) : await accounts.get(submission.user_address)
    if (!account.ok) return account
    const { txid, tx } = payment.value
    return done({
      ...submission,
      fee: Number(tx.fee),
      nonce: Number(tx.nonce),
      paid: { txid, account: account.value },
    })
  }

  return {
    concerns: ({ signed_tx }) => signed_tx !== null,
    cost: ({ user_address }) => (verifier.knows(user_address) ? 0 : COST_OF_NEW_KEY),
    take: (list) =>
      Promise.all(
        list.map((one) =>
          check(one).catch(() => refuse('internal', 'the service could not check this transaction; submit it again')),
        ),
      ),
  }
}
