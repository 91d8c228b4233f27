import type { CallbackState } from '../rules/callbacks.js'
import type { SettlementRow } from '../store/settlement-schema.js'
import type { ShownTask } from '../store/tasks.js'

/** A callback as it is shown. Times: Unix seconds. */
export interface CallbackView {
  task_id: string
  /** Null where it cannot be read. */
  url: string | null
  host: string
  state: CallbackState
  /** Null before the task has ended. */
  webhook_id: string | null
  ended_at: number | null
  /** Failed tries. */
  tries: number
  /** Null where it is not tried again by itself. */
  next_try_at: number | null
  last_error: string | null
  updated_at: number
}

/** A task as it is shown. */
export interface TaskView {
  task: ShownTask
  /** What becomes of its payment; null when it has no result, or is not paid. */
  settlement: SettlementRow | null
  /** Where its end is told, and how that stands; null where it is not. */
  callback: CallbackView | null
  /** The fields that its reader may not see. */
  hidden: readonly string[]
  /** How many attempts have begun. */
  begun: number
}
