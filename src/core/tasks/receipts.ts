import { done, refuse, type Outcome } from '../../lib/result.js'
import type { Allowed } from '../access/caller.js'
import { reachesTask } from '../access/control.js'
import type { SettlementRow } from '../../store/settlement-schema.js'
import type { Context } from '../context.js'
import type { ReceiptFacts } from '../operations.js'

/** What a receipt says is gathered when it is asked for: a result costs nothing for it. */
export function createReceipts(
  { store }: Pick<Context, 'store'>,
  settlementOf: (taskId: string) => SettlementRow | null,
) {
  /** What is known of a task's result. */
  return (taskId: string, allowed: Allowed): Outcome<ReceiptFacts> => {
    const head = store.tasks.head(taskId)
    // One that is another's is not there.
    if (head === undefined || !reachesTask(allowed, head))
      return refuse('task_not_found', `task_id: there is no task ${taskId}`)
    const noResult = refuse(
      'conflict',
      `task_id: ${taskId} is ${head.status} and has no result; a receipt is made of a result, so ask again once it is completed`,
    )
    if (head.status !== 'completed' && head.status !== 'submitted') return noResult
    const task = store.tasks.asSent(taskId)
    if (task === undefined || task.output === null) return noResult
    const attempt = store.attempts.completedOf(taskId)
    const key =
      attempt?.ended_ms == null
        ? undefined
        : store.resultProofs.keyAt({ node_id: attempt.node_id, node_epoch: attempt.node_epoch }, attempt.ended_ms)
    return done({
      task_id: taskId,
      encrypted: task.is_encrypted === 1,
      user_input: task.user_input,
      context: task.context,
      output: task.output,
      model_name: task.model_name,
      node_id: attempt?.node_id ?? task.inference_node_id,
      node_key: key?.public_key ?? null,
      node_key_proven: key?.proven === 1,
      node_signature: store.resultProofs.signatureOf(taskId),
      attempt: attempt?.attempt ?? null,
      created_at: task.created_at,
      assigned_at: attempt?.assigned_at ?? null,
      accepted_at: attempt?.accepted_at ?? null,
      completed_at: task.completed_at,
      fee: task.fee,
      infer_fee: task.infer_fee,
      txid: task.txid,
      payee: settlementOf(taskId)?.payee ?? null,
    })
  }
}
