import { refuse, type Refusal } from '../../lib/result.js'
import type { CallbackState } from '../../rules/callbacks.js'
import type { DueCallback } from '../../store/callbacks.js'
import type { CallbackView, TaskView } from '../task-view.js'

export type { CallbackView, DueCallback }

/** What is sent. */
export interface CallbackContent {
  url: string
  signed_for: string | null
  /** Unix seconds. */
  ended_at: number
  view: TaskView
}

/** What came of a try. */
export type CallbackReport = { task_id: string; webhook_id: string } & (
  | { is: 'delivered' }
  /** `error`: a sentence of our own. */
  | { is: 'failed'; error: string }
  /** The receiver wants no more of it. */
  | { is: 'gone'; error: string }
)

/** Where nobody is told of anything. */
export const NO_CALLBACKS: Refusal = refuse(
  'not_found',
  'this service sends no callbacks: its configuration has no section [callbacks]',
)

/** What is asked of callbacks. */
export type CallbackRequest =
  /** `before`: the `next` of the page before; newest task_id first. */
  | { op: 'callbacks'; state: CallbackState | null; before: string | null; limit: number }
  | { op: 'callbackRetry'; task_id: string }

/** What the service itself tells and asks of callbacks. */
export type CallbackWork =
  /** What is to be sent now beside what is under way. `perHost`: the most to one host at once, what is under way included. */
  | { op: 'callbacksDue'; underWay: readonly Pick<DueCallback, 'task_id' | 'host'>[]; limit: number; perHost: number }
  /** What is sent for a callback; null when it is not to be sent any more. */
  | { op: 'callbackContent'; task_id: string; webhook_id: string }
  | { op: 'callbackReports'; reports: readonly CallbackReport[] }

/** What each of them gives back. */
export interface CallbackResults {
  /** `hidden`: whether its reader may not see where they go. */
  callbacks: { callbacks: CallbackView[]; hidden: boolean; next: string | null }
  callbackRetry: { callback: CallbackView; hidden: boolean }
  /** `nextIn`: when there is more to do, ms from now; null when nothing waits for a time. */
  callbacksDue: { due: DueCallback[]; nextIn: number | null }
  callbackContent: CallbackContent | null
  callbackReports: null
}
