import type { LargeText, NodeView, PolledTask, Results, SettlementRow, Stats, TaskView } from '../core/operations.js'
import type { CallbackView } from '../core/callbacks/reports.js'
import type { PaidTask } from '../core/settlement/reports.js'
import type { CallbackLineView, TaskCallbackView } from '../wire/callbacks.js'
import { readParams } from '../wire/params.js'
import { readNotes } from '../wire/result-notes.js'
import type { NodeListEntry, StatsView } from '../wire/service-answers.js'
import type { PaidTaskView, PolledTaskView, SettlementView, TaskStatusView } from '../wire/task-answers.js'

/** A view before it is sent: its texts may be UTF-8 still. Fields that its reader may not see are taken out of it later. */
export type Unsent<T> = string extends T
  ? T | LargeText
  : T extends readonly (infer Item)[]
    ? Unsent<Item>[]
    : T extends object
      ? { [Name in keyof T]: Unsent<T[Name]> }
      : T

/** About how long the answer about a task is, in UTF-16 units or bytes: its texts may be of megabytes, the rest is short. */
export const textSize = (task: {
  user_input: LargeText
  context: LargeText
  signed_tx: LargeText | null
  output?: LargeText | null
  params?: string | null
  result_notes?: string | null
}): number =>
  [task.user_input, task.context, task.signed_tx, task.output, task.params, task.result_notes].reduce(
    (sum, text) => sum + (text?.length ?? 0),
    0,
  )

/** What becomes of the payment of a task. */
export const settlementView = (row: SettlementRow): SettlementView => ({
  task_id: row.task_id,
  txid: row.txid,
  state: row.state,
  origin: row.origin,
  nonce: row.nonce,
  payee: row.payee,
  output_hash: row.output_hash,
  tries: row.tries,
  last_error: row.last_error,
  height: row.height,
  index_block_hash: row.index_block_hash,
  /** Whether nothing changes it any more by itself. */
  final: row.final === 1,
  posted_at: row.posted_at,
  created_at: row.created_at,
  updated_at: row.updated_at,
})

/** Where the end of a task is told, as its submitter sees it. */
const taskCallback = ({ url, state, tries, next_try_at, last_error }: CallbackView): TaskCallbackView => ({
  url,
  state,
  tries,
  next_try_at,
  last_error,
})

/** A callback among others. @param hidden where it goes is not shown */
export const callbackEntry = ({ url, ...one }: CallbackView, hidden: boolean): CallbackLineView => ({
  task_id: one.task_id,
  state: one.state,
  host: one.host,
  url: hidden ? null : url,
  webhook_id: one.webhook_id,
  ended_at: one.ended_at,
  tries: one.tries,
  next_try_at: one.next_try_at,
  last_error: one.last_error,
  updated_at: one.updated_at,
})

/** A task as a miner asks for it, that holds its transaction: the node is who the transaction pays. */
export const paidTask = ({ status, created_at, output_hash, payee }: PaidTask, txid: string): PaidTaskView => ({
  txid,
  status,
  created_at,
  result: output_hash === null ? null : { output_hash, inference_node_id: payee },
})

/** A task as a polling node gets it. */
export const polledTask = ({ task, attempt }: PolledTask): PolledTaskView => ({
  task_id: task.task_id,
  user_input: task.user_input,
  context: task.context,
  model_name: task.model_name,
  model_type: task.model_type,
  max_infer_time: task.max_infer_time,
  infer_fee: task.infer_fee,
  signed_tx: task.signed_tx,
  status: task.status,
  created_at: task.created_at,
  attempt,
  ...(task.params === null ? {} : { params: readParams(task.params) }),
  ...(task.traceparent === null ? {} : { traceparent: task.traceparent }),
})

/** A task as its submitter sees it. */
export const taskStatus = ({ task, begun, settlement, callback }: TaskView): Unsent<TaskStatusView> => ({
  task_id: task.task_id,
  status: task.status,
  user_address: task.user_address,
  user_input: task.user_input,
  context: task.context,
  model_name: task.model_name,
  model_type: task.model_type,
  fee: task.fee,
  nonce: task.nonce,
  infer_fee: task.infer_fee,
  max_infer_time: task.max_infer_time,
  created_at: task.created_at,
  updated_at: task.updated_at,
  attempts: begun,
  ...(task.params === null ? {} : { params: readParams(task.params) }),
  error: task.error,
  ...(task.error_code === null ? {} : { code: task.error_code }),
  txid: task.txid,
  ...(settlement === null ? {} : { settlement: settlementView(settlement) }),
  ...(callback === null ? {} : { callback: taskCallback(callback) }),
  result:
    task.output === null
      ? null
      : {
          output: task.output,
          confidence: task.confidence,
          completed_at: task.completed_at,
          inference_node_id: task.inference_node_id,
          ...readNotes(task.result_notes),
        },
})

/** The same for clients that sign: they wait for `completed`, know no `submitted`, and have a txid with 0x. */
export const signedStatus = (view: TaskView): Unsent<TaskStatusView> => {
  const status = taskStatus(view)
  const { txid } = view.task
  return {
    ...status,
    status: status.status === 'submitted' ? 'completed' : status.status,
    txid: txid === null ? null : `0x${txid.replace(/^0x/, '')}`,
  }
}

/** A page of the list, as JSON: its lines come as text from the store. */
export const taskPage = ({ tasks, next }: Results['list']): string =>
  `{"tasks":${tasks},"next_cursor":${next === null ? 'null' : `"${next}"`}}`

export const nodeEntry = ({
  row,
  models,
  status,
  status_reason,
  in_progress_tasks,
  probation,
  cooled_until,
  cover,
}: NodeView): NodeListEntry => ({
  node_id: row.node_id,
  endpoint: row.endpoint,
  public_key: row.public_key,
  status,
  /** Why it is in maintenance, in its own words. */
  status_reason,
  supported_models: models,
  performance_score: row.performance_score,
  last_heartbeat: row.last_heartbeat,
  transport: row.transport,
  node_address: row.node_address,
  in_progress_tasks,
  max_concurrent_tasks: row.max_concurrent_tasks,
  drained: row.drained === 1,
  probation,
  ...(cover === null ? {} : { payee: cover.payee, stake: cover.stake, not_covered: cover.why }),
  failures_in_row: row.failures_in_row,
  cooled_until,
  average_inference_time: row.mean_seconds,
  /** The share of its newest attempts that ended well; null before the first. */
  success_rate: row.successes + row.failures === 0 ? null : row.successes / (row.successes + row.failures),
})

export const statsView = ({
  tasks,
  nodes,
  settlements,
  callbacks,
  average_inference_time,
  uptime_seconds,
}: Stats): StatsView => ({
  total_tasks: Object.values(tasks).reduce((a, b) => a + b, 0),
  pending_tasks: tasks.pending,
  processing_tasks: tasks.in_progress,
  completed_tasks: tasks.completed,
  submitted_tasks: tasks.submitted,
  failed_tasks: tasks.failed,
  timeout_tasks: tasks.timeout,
  ...nodes,
  ...(settlements === null ? {} : { settlements }),
  ...(callbacks === null ? {} : { callbacks }),
  average_inference_time,
  uptime_seconds,
})
