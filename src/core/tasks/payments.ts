import { refuse, type Refusal } from '../../lib/result.js'
import type { NewTask, TaskHead } from '../../store/tasks.js'
import type { Submission } from '../../wire/rest.js'
import { readTxid } from '../../wire/settlement.js'
import type { Context } from '../context.js'

export type Payments = ReturnType<typeof createPayments>

/** Whether what pays for a task may: one payment is for one task, and for no more than its origin has. */
export function createPayments(ctx: Context) {
  const { store, options } = ctx

  const taken = (origin: string, nonce: number, by: string): Refusal =>
    refuse(
      'conflict',
      `nonce: the payment with nonce ${nonce} of ${origin} is for task ${by} already; ask for that task, or sign another transaction with another nonce`,
    )

  return {
    /**
     * Why a new task is not paid as it has to be; null when it is, or need not be.
     * @param unwritten what this turn has taken in before it
     */
    refusal(s: Submission, unwritten: Iterable<NewTask>): Refusal | null {
      const { chain } = options
      if (chain === null) return null
      // It could be taken for somebody else's payment.
      if (s.task_id !== null && readTxid(s.task_id) !== null)
        return refuse('invalid_request', 'task_id: must not look like the id of a transaction (64 hex digits) here')
      const { paid, user_address: origin, nonce } = s
      if (paid === undefined) {
        if (s.signed_tx !== null)
          return refuse('invalid_request', 'signed_tx: was not checked; submit it over REST or a session')
        return chain.requireSignedTx
          ? refuse(
              'invalid_request',
              'signed_tx: is missing; this service works on what is paid: sign the transaction of the inference, and send it in hex',
            )
          : null
      }
      const other = store.tasks.ofPayment(origin, nonce)
      if (other !== undefined) return taken(origin, nonce, other.task_id)
      let before = 0
      for (const t of unwritten) {
        if (t.paid_nonce === null || t.user_address !== origin) continue
        if (t.paid_nonce === nonce) return taken(origin, nonce, t.task_id)
        before += t.infer_fee + t.fee
      }
      const { account } = paid
      if (account === null) return null
      if (nonce < account.nonce)
        return refuse(
          'conflict',
          `nonce: the transaction has nonce ${nonce}, and ${origin} has used all below ${account.nonce} on the chain; sign again with a nonce from there on`,
        )
      const needed = store.tasks.committed(origin, account.nonce) + before + s.infer_fee + s.fee
      return needed > account.balance
        ? refuse(
            'invalid_request',
            `infer_fee: this and the other open tasks of ${origin} need ${needed} micro-STX, and it has ${account.balance}; add funds, or wait until tasks have ended`,
          )
        : null
    },

    /** Why a task that has ended without a result may not be opened again; null when it may. */
    retryRefusal({ task_id, user_address, paid_nonce }: TaskHead): Refusal | null {
      const other = paid_nonce === null ? undefined : store.tasks.ofPayment(user_address, paid_nonce)
      return other === undefined || other.task_id === task_id || paid_nonce === null
        ? null
        : taken(user_address, paid_nonce, other.task_id)
    },
  }
}
