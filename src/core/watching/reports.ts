import type { AttemptEnd, Fault, TaskStatus } from '../../rules/lifecycle.js'
import type { AttemptHead } from '../../store/attempts.js'
import type { NodeStatus } from '../../wire/fields.js'
import type { ModelView, NodeDetailView, OverviewView, OverviewWindow } from '../../wire/watch-answers.js'
import type { NodePage, NodeView, Stats } from '../node-view.js'
import type { TracedEnd } from '../rates/traced-ends.js'

/** What those ask for who watch. */
export type WatchRequest =
  | { op: 'modelRates' }
  /** `model`: a label; null for all of them. */
  | { op: 'overview'; window: OverviewWindow; model: string | null }
  /** Nodes by their ids, those that fit. */
  | { op: 'nodePage'; after: string | null; limit: number; filter: NodeFilter }
  | { op: 'nodeDetail'; node_id: string }
  /** Somebody is about to read the feed. */
  | { op: 'feedOpen' }
  /** Somebody is about to be told the settings, which the door has: whether he may. */
  | { op: 'configuration' }
  /** What the metrics are made of. */
  | { op: 'metrics' }

/** What the doors ask for themselves. */
export type WatchWork =
  /** Nobody reads the feed any more. */
  | { op: 'feedClose' }
  | { op: 'metricsOfCore' }
  /** What the traces of tasks that have ended tell of them. */
  | { op: 'taskTraces'; ended: readonly TracedEnd[] }

export interface NodeFilter {
  status: NodeStatus | null
  /** One that they list, or its family. */
  model: string | null
  /** Is in their id, without regard to case. */
  q: string | null
}

export interface WatchResults {
  modelRates: ModelView[]
  overview: Omit<OverviewView, 'totals'> & { totals: Stats }
  nodePage: NodePage
  nodeDetail: NodeReport
  feedOpen: null
  feedClose: null
  configuration: null
  metrics: CoreMetrics
  metricsOfCore: CoreMetrics
  taskTraces: TaskTrace[]
}

/** A node, and what there is to say of it beside what the list says. */
export interface NodeReport {
  node: NodeView
  hidden: readonly string[]
  more: Pick<NodeDetailView, 'session_since_ms' | 'agent' | 'features' | 'recent_attempts' | 'rates' | 'idle_because'>
}

/** A task that has ended, as its trace tells it: no word of its texts. Times: Unix ms. */
export interface TaskTrace {
  task_id: string
  traceparent: string
  model_name: string
  status: TaskStatus
  queued_ms: number
  ended_ms: number
  /** Since it was submitted, or opened again; the newest 100, oldest first. */
  attempts: TracedAttempt[]
}
export type TracedAttempt = Pick<
  AttemptHead,
  | 'attempt'
  | 'node_id'
  | 'assigned_ms'
  | 'accepted_ms'
  | 'first_word_ms'
  | 'ended_ms'
  | 'end'
  | 'fault'
  | 'prompt_tokens'
  | 'completion_tokens'
>

/** A histogram since the start. `buckets`: each by itself, the last without a bound. */
export interface HistogramFigures {
  buckets: readonly number[]
  /** Seconds. */
  sum: number
}

/** What is known of a model for the metrics. */
export interface ModelMetrics {
  model: string
  submitted: number
  ended: { completed: number; failed: number; timeout: number; cancelled: number }
  attempts: { end: AttemptEnd; fault: Fault | null; count: number }[]
  waiting: number
  running: number
  /** Seconds; null where nothing waits, or it is not known yet. */
  oldest_waiting_seconds: number | null
  wait: HistogramFigures
  first_word: HistogramFigures
  run: HistogramFigures
  task: HistogramFigures
  prompt_tokens: number
  completion_tokens: number
  fees: number
  slots: number
  free_slots: number
}

/** How much of a limit of the whole service is taken. `limit`: the key of its setting, or what it counts. */
export interface LimitFigures {
  limit: string
  used: number
  most: number
}

/** What the core knows for the metrics. */
export interface CoreMetrics {
  models: ModelMetrics[]
  stats: Stats
  /** Nodes by what they count as, and how they come. */
  nodes: { status: NodeStatus; transport: 'websocket' | 'rest'; count: number }[]
  wal_bytes: number
  /** From where on nothing more is written. */
  wal_limit_bytes: number
  database_bytes: number
  /** The backups that the service makes by itself, Unix ms and ms; null: it makes none. */
  backups: { last_ms: number | null; interval_ms: number } | null
  writable: boolean
  limits: LimitFigures[]
}
