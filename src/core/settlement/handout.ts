import { decodeC32 } from '../../chain/c32.js'
import { parseInferTransaction, TransactionError, writeInferTransaction } from '../../chain/transaction.js'
import type { NewTask } from '../../store/tasks.js'
import type { ChainOptions } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { Payees } from './payees.js'

/**
 * The transaction that a polling node gets with its task: none where the service posts, unless the operator wants it; then the node is
 * its payee. Where the chain is not looked at it is what was submitted.
 */
export function signedTxFor(
  chain: ChainOptions | null,
  payees: Payees | null,
  task: Pick<NewTask, 'signed_tx' | 'paid_nonce'>,
  { row }: Pick<Node, 'row'>,
): string | null {
  if (chain === null || payees === null) return task.signed_tx
  const payee = payees.of(row)
  const to = payee === null ? null : decodeC32(payee)
  if (!chain.giveSignedTxToPollingNodes || to === null || task.signed_tx === null || task.paid_nonce === null)
    return null
  try {
    const tx = parseInferTransaction(Buffer.from(task.signed_tx.replace(/^0x/i, ''), 'hex'))
    return writeInferTransaction({ ...tx, node: to }).toString('hex')
  } catch (error) {
    if (error instanceof TransactionError) return null // of a task that was taken before the chain was looked at
    throw error
  }
}
