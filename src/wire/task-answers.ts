import * as v from 'valibot'
import { taskCallbackView } from './callbacks.js'
import { jsonObject, list, resultEntries, submissionWarning, taskErrorCode } from './fields.js'
import { settlementState } from './settlement.js'

// What REST says of tasks, before it is in its envelope. A field that only some may see is null for who may not.
// What is pure is left out of our client for pages, which has no use for it: other calls at the top of a module bundlers keep.

const integer = v.pipe(v.number(), v.integer())
const maybeInteger = v.nullable(integer)
const maybeText = v.nullable(v.string())

export const taskStatus = v.picklist(['pending', 'in_progress', 'completed', 'submitted', 'failed', 'timeout'])

/** What became of a submission. */
export const submittedView = v.object({
  task_id: v.string(),
  /** Of one that came encrypted, as is the message. */
  encrypted: v.optional(v.literal(true)),
  message: v.optional(v.string()),
  warnings: v.optional(list(submissionWarning)),
})
export type SubmittedView = v.InferOutput<typeof submittedView>

/** What became of a submission that was refused alone, in a batch. */
export const refusedEntry = v.object({ error: v.string(), code: v.string() })

/** What becomes of the payment of a task. */
export const settlementView = v.object({
  task_id: v.string(),
  txid: maybeText,
  state: settlementState,
  origin: v.string(),
  nonce: maybeInteger,
  payee: maybeText,
  output_hash: v.string(),
  tries: integer,
  last_error: maybeText,
  height: maybeInteger,
  index_block_hash: maybeText,
  /** Whether nothing changes it any more by itself. */
  final: v.boolean(),
  posted_at: maybeInteger,
  created_at: integer,
  updated_at: integer,
})
export type SettlementView = v.InferOutput<typeof settlementView>
export const settlementsPage = /* @__PURE__ */ (() =>
  v.object({ settlements: v.array(settlementView), next_cursor: maybeText }))()

/** A task as a miner asks for it, that holds its transaction: the node is who the transaction pays. */
export const paidTaskView = /* @__PURE__ */ (() =>
  v.object({
    txid: v.string(),
    status: taskStatus,
    created_at: integer,
    result: v.nullable(v.object({ output_hash: v.string(), inference_node_id: maybeText })),
  }))()
export type PaidTaskView = v.InferOutput<typeof paidTaskView>

/** A task as a polling node gets it. */
export const polledTaskView = /* @__PURE__ */ (() =>
  v.object({
    task_id: v.string(),
    user_input: v.string(),
    context: v.string(),
    model_name: v.string(),
    model_type: v.string(),
    max_infer_time: integer,
    infer_fee: integer,
    signed_tx: maybeText,
    status: taskStatus,
    created_at: integer,
    attempt: integer,
    params: v.optional(jsonObject),
    traceparent: v.optional(v.string()),
  }))()
export type PolledTaskView = v.InferOutput<typeof polledTaskView>

const statusEntries = {
  task_id: v.string(),
  status: taskStatus,
  user_address: maybeText,
  user_input: maybeText,
  context: maybeText,
  model_name: v.string(),
  model_type: v.string(),
  fee: integer,
  nonce: maybeInteger,
  infer_fee: integer,
  max_infer_time: integer,
  created_at: integer,
  updated_at: integer,
  params: v.optional(v.nullable(jsonObject)),
  error: maybeText,
  /** What the node says is wrong with the task itself. */
  code: v.optional(taskErrorCode),
  txid: maybeText,
  settlement: v.optional(settlementView),
  callback: v.optional(v.nullable(taskCallbackView)),
  result: v.nullable(
    v.object({
      output: maybeText,
      confidence: v.nullable(v.number()),
      completed_at: maybeInteger,
      inference_node_id: maybeText,
      ...resultEntries,
    }),
  ),
}
/** A task as its submitter sees it. */
export const taskStatusView = v.object({
  ...statusEntries,
  /** How many have begun. */
  attempts: integer,
})
export type TaskStatusView = v.InferOutput<typeof taskStatusView>
/** What is posted to the `callback_url` of a task that has ended. */
export const callbackMessage = /* @__PURE__ */ (() =>
  v.object({
    type: v.picklist(['task.completed', 'task.failed', 'task.timeout']),
    /** When it ended. */
    timestamp: v.pipe(v.string(), v.isoTimestamp()),
    data: taskStatusView,
  }))()
export type CallbackMessage = v.InferOutput<typeof callbackMessage>
/** A submission that was waited for is answered with how its task stands. */
export const submissionView = /* @__PURE__ */ (() => v.union([submittedView, taskStatusView]))()
export const batchView = /* @__PURE__ */ (() =>
  v.object({ results: v.array(v.union([submittedView, taskStatusView, refusedEntry])) }))()

/** How an attempt ended, and whose fault that was, as rules/lifecycle.ts has them. */
export const attemptEnd = v.picklist([
  'completed',
  'failed',
  'lost',
  'timeout',
  'rejected',
  'unaccepted',
  'superseded',
  'cancelled',
])
export const attemptFault = v.picklist(['node', 'task', 'network', 'coordinator'])

const attemptView = v.object({
  attempt: integer,
  node_id: v.string(),
  transport: v.picklist(['rest', 'websocket']),
  assigned_at: integer,
  accepted_at: maybeInteger,
  ended_at: maybeInteger,
  /** The same times, and that of its first piece of text, where somebody reads it as it comes: Unix ms. */
  assigned_ms: integer,
  accepted_ms: maybeInteger,
  first_word_ms: maybeInteger,
  ended_ms: maybeInteger,
  end: v.nullable(attemptEnd),
  fault: v.nullable(attemptFault),
  error: maybeText,
  usage: v.nullable(v.object({ prompt_tokens: integer, completion_tokens: maybeInteger })),
})

/** Why a node does not work on a task that it could serve. */
export const whyNot = v.picklist([
  'offline',
  'maintenance',
  'drained',
  'cooldown',
  'busy',
  'needs_feature',
  'failed_before',
  'rejected',
  'probation',
  'not_covered',
  'next',
])

export type WhyNot = v.InferOutput<typeof whyNot>

/** Why a task is not worked on. */
export const waitingView = v.object({
  reason: v.picklist([
    'no_node_for_model',
    'no_node_online',
    'all_busy',
    'waits_for_another_node',
    'needs_feature',
    'not_covered',
    'next',
  ]),
  explanation: v.string(),
  /** From 1; "1000+" beyond. */
  position: v.union([integer, v.string()]),
  /** Nodes that serve its model, and why each does not have it; at most 50, those that are nearest to it first. */
  nodes: v.array(v.object({ node_id: v.string(), why: whyNot })),
})

/** A task with its history: what its submitter sees, and every attempt. */
export const taskDetailView = v.object({
  ...statusEntries,
  /** When it was submitted; and since when it waits, or has waited last: later than that after a retry. Unix ms. */
  created_ms: integer,
  queued_ms: integer,
  attempts: v.array(attemptView),
  /** The ends before each retry, oldest first. */
  earlier_ends: v.array(
    v.object({ attempt: integer, status: taskStatus, error: maybeText, ended_at: integer, reopened_at: integer }),
  ),
  waiting: v.nullable(waitingView),
})
export type TaskDetailView = v.InferOutput<typeof taskDetailView>

/** A line of the list of tasks: everything but the texts. */
export const taskLine = v.object({
  task_id: v.string(),
  status: taskStatus,
  user_address: maybeText,
  model_name: v.string(),
  model_type: v.string(),
  infer_fee: integer,
  max_infer_time: integer,
  attempt: integer,
  inference_node_id: maybeText,
  created_at: integer,
  updated_at: integer,
  completed_at: maybeInteger,
  error: maybeText,
})
export const tasksPage = v.object({ tasks: v.array(taskLine), next_cursor: maybeText })
