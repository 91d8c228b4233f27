import type { CallbackState } from '../rules/callbacks.js'
import type { SettlementState } from '../rules/settlement.js'
import type { NodeRow } from '../store/schema.js'
import type { TaskCounts } from '../store/tasks.js'
import type { NodeStatus } from '../wire/fields.js'
import type { NodeCounts } from './nodes/node.js'
import type { NodeCover } from './settlement/reports.js'

/** Nodes by their ids, in the order of UTF-16 units. */
export interface NodePage {
  nodes: NodeView[]
  /** The fields that their reader may not see. */
  hidden: readonly string[]
  /** After which id the rest comes; null at the end. */
  next: string | null
}

export interface NodeView {
  row: NodeRow
  models: readonly string[]
  status: NodeStatus
  /** Why it is in maintenance, in its own words, harmless to show; null when it is not, or gave no reason. */
  status_reason: string | null
  in_progress_tasks: number
  /** It is new, and gets few tasks until it has shown what it does. */
  probation: boolean
  /** What of paid tasks it can be given; null where the chain is not looked at. */
  cover: NodeCover | null
  /** Unix seconds until which it gets nothing new, because it failed too often in a row; null otherwise. */
  cooled_until: number | null
}

export interface Stats {
  /** How many payments are in each state; null where the chain is not looked at. */
  settlements: Readonly<Record<SettlementState, number>> | null
  /** How many callbacks are; null where none are sent. */
  callbacks: Readonly<Record<CallbackState, number>> | null
  tasks: TaskCounts
  nodes: NodeCounts
  /** Mean seconds of an inference over the last hour, of the newest 1,000; 0 when there is none. */
  average_inference_time: number
  uptime_seconds: number
}
