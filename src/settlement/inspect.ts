import { decodeC32, encodeC32 } from '../chain/c32.js'
import type { ChainRpc } from '../chain/rpc/chain-rpc.js'
import { fillIn, parseInferTransaction } from '../chain/transaction.js'
import type { DueSettlement, SettlementReport } from '../core/settlement/reports.js'

/** What the node tells of a settlement; `unreachable`: it could not be asked. */
export type Seen = { report: SettlementReport; unreachable: boolean }

const seen = (report: SettlementReport): Seen => ({ report, unreachable: false })
const unreachable = (task_id: string, error: string): Seen => ({
  report: { task_id, is: 'later', error },
  unreachable: true,
})

/** The transaction that is posted for a settlement; null where there is nobody to be paid. */
export function transactionOf({ payee, output_hash }: DueSettlement, signedTx: string): Buffer | null {
  const to = payee === null ? null : decodeC32(payee)
  if (to === null) return null
  return fillIn(Buffer.from(signedTx.replace(/^0x/i, ''), 'hex'), { payee: to, outputHash: output_hash })
}

/** Whom a transaction that is not ours pays, for a sentence. */
function describe(tx: Buffer): string {
  try {
    const { node, outputHash } = parseInferTransaction(tx)
    return `payee ${encodeC32(node)} and output hash ${outputHash === '' ? 'empty' : outputHash}`
  } catch {
    return 'other content'
  }
}

/** Looks what has become of a transaction that was posted, or found, before. */
export async function inspect(rpc: ChainRpc, row: DueSettlement, ours: Buffer): Promise<Seen> {
  const { task_id, txid, origin, nonce } = row
  const account = await rpc.account(origin)
  if (account.is === 'unreachable') return unreachable(task_id, account.message)
  if (account.nonce > BigInt(nonce)) return seen({ task_id, is: 'nonce_used' })
  const held = await rpc.unconfirmed(txid)
  if (held.is === 'unreachable') return unreachable(task_id, held.message)
  if (held.is === 'absent') return seen({ task_id, is: 'absent' })
  if (held.tx.equals(ours)) return seen({ task_id, is: 'posted' })
  return seen({ task_id, is: 'hijacked', error: `a miner holds it with ${describe(held.tx)}` })
}

/** Posts a transaction, and looks whether it is ours that the miner holds: it says "taken" of others too. */
export async function post(rpc: ChainRpc, row: DueSettlement, ours: Buffer, output: string): Promise<Seen> {
  const { task_id } = row
  const answer = await rpc.post(ours, output)
  if (answer.is === 'unreachable') return unreachable(task_id, answer.message)
  if (answer.is === 'refused' && answer.class === 'final')
    return seen({ task_id, is: 'rejected', error: answer.message })
  if (answer.is === 'refused' && answer.class === 'later') return seen({ task_id, is: 'later', error: answer.message })
  const found = await inspect(rpc, row, ours)
  // A rival with the same nonce is in the mempool: it may go, or be mined; then its nonce is used.
  if (answer.is === 'refused' && found.report.is === 'absent')
    return seen({ task_id, is: 'later', error: answer.message })
  return found
}
