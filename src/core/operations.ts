import type { AddressKeys } from '../lib/address.js'
import type { Outcome } from '../lib/result.js'
import type { NodeCounts } from './nodes/node.js'
import type { Page, TaskFilter } from '../store/pages.js'
import type { AttemptRow, NodeRow, ReopeningRow, TaskRow } from '../store/schema.js'
import type { NewTask, ShownTask, TaskCounts } from '../store/tasks.js'
import type { CloseReason } from '../wire/codes.js'
import type { NodeStatus } from '../wire/fields.js'
import type { ClientAnswer, ClientRequest, ClientSubmission } from '../wire/client.js'
import type { Hello, NodeMessage, ServerMessage } from '../wire/node.js'
import type { RegisterBody, Submission, SubmissionWarning } from '../wire/rest.js'

export type { LargeText } from '../store/tasks.js'

/**
 * The one interface between the doors and the core: plain values in, plain values out, many at a time. Every operation
 * has been parsed by its door.
 */
export type Operation =
  | { op: 'submit'; tasks: Submission[] }
  /** `from`: who its address counts as; nobody where limits by address do not hold. */
  | { op: 'register'; node: RegisterBody; from: AddressKeys }
  | { op: 'heartbeat'; node_id: string; status: NodeStatus }
  | { op: 'poll'; node_id: string; running: string[] | null }
  | { op: 'complete'; task_id: string; node_id: string; output: string; confidence: number }
  | { op: 'fail'; task_id: string; node_id: string; error: string; retryable: boolean }
  | { op: 'task'; task_id: string }
  /** A task with its whole history. */
  | { op: 'taskDetail'; task_id: string }
  | { op: 'list'; filter: TaskFilter; before: number | null; limit: number }
  | { op: 'cancel'; task_id: string }
  | { op: 'retry'; task_id: string }
  /** `after`: the `next` of the page before. */
  | { op: 'nodes'; after: string | null; limit: number }
  | { op: 'drain'; node_id: string; drained: boolean }
  | { op: 'forget'; node_id: string }
  | { op: 'stats' }
  | { op: 'health' }
  /** The door has verified the signature; `key` is the normalized public key. */
  | { op: 'nodeHello'; session: number; hello: Hello; key: string; from: AddressKeys }
  | { op: 'nodeMessage'; session: number; message: Exclude<NodeMessage, Hello> }
  /** A sign of life with no meaning of its own. */
  | { op: 'nodeSeen'; session: number }
  /** `returned`: the node closed with 1000, and everything that it holds is requeued. */
  | { op: 'nodeDisconnected'; session: number; returned: boolean }
  /** A submitter's session has begun, at an address that counts as these. One from an address that is not counted need not say so. */
  | { op: 'clientConnected'; session: number; from: AddressKeys }
  /** Submissions of one frame of a submitter's session; each is answered by an effect that names its `ref`. */
  | { op: 'clientSubmissions'; session: number; list: ClientSubmission[] }
  /** What else a submitter's session asks for; answered by effects. */
  | { op: 'clientMessage'; session: number; message: ClientRequest }
  /** A submitter's session has ended: its watches are gone, nothing else changes. */
  | { op: 'clientDisconnected'; session: number }
  /** Looks at the deadlines. */
  | { op: 'tick' }
  /** Nothing new is taken or dispatched from here on; nodes are told to drain. */
  | { op: 'stop'; reconnect_after: number }

/** What each operation gives back. */
export interface Results {
  /** `status`: as it is now; not `pending` only when the task was known. */
  submit: Outcome<Submitted>[]
  register: null
  heartbeat: null
  poll: PolledTask | null
  complete: null
  fail: null
  task: TaskView
  taskDetail: TaskDetail
  list: Page
  cancel: null
  retry: null
  nodes: NodePage
  drain: null
  forget: null
  stats: Stats
  /** `warning`: it works, and an operator should look at something. */
  health: { warning: string | null }
  nodeHello: null
  nodeMessage: null
  nodeSeen: null
  nodeDisconnected: null
  clientConnected: null
  clientSubmissions: null
  clientMessage: null
  clientDisconnected: null
  tick: null
  stop: null
}

/** What a turn sends to sessions, in order, once it is durable. */
export type Effect =
  { session: number; message: ServerMessage | ClientAnswer } | { session: number; close: CloseReason; reason: string }

/** Something that happened, for the log. Never holds a prompt, an output or a key. */
export interface CoreEvent {
  level: 'debug' | 'info' | 'warn' | 'error'
  event: string
  [field: string]: string | number | boolean | null
}

export interface TurnResult {
  /** One per operation, in order. */
  outcomes: Outcome<Results[keyof Results]>[]
  effects: Effect[]
  events: CoreEvent[]
  /** When the core wants to be called again with `tick`: ms from now, 0 to 1000. */
  wakeIn: number
  /** Whether a node in session holds a task: a stop waits for that. */
  busy: boolean
  /** How long the turn took, and the commit within it, ms. */
  took: { all: number; commit: number }
}

export interface Submitted {
  task_id: string
  status: TaskRow['status']
  /** What its submitter should know of a task that is new; undefined when there is nothing. */
  warnings?: SubmissionWarning[] | undefined
}

export interface PolledTask {
  task: NewTask
  attempt: number
}

export interface TaskView {
  task: ShownTask
  /** How many attempts have begun. */
  begun: number
}

export interface TaskDetail extends TaskView {
  attempts: AttemptRow[]
  reopenings: ReopeningRow[]
  /** Why it is not worked on; null unless it is pending. */
  waiting: Waiting | null
}

export interface Waiting {
  reason: 'no_node_for_model' | 'no_node_online' | 'all_busy' | 'waits_for_another_node' | 'next'
  explanation: string
  /** Its place in the queue of its model's family, from 1; "1000+" beyond. */
  position: number | string
}

/** Nodes by their ids, in the order of UTF-16 units. */
export interface NodePage {
  nodes: NodeView[]
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
  /** Unix seconds until which it gets nothing new, because it failed too often in a row; null otherwise. */
  cooled_until: number | null
}

export interface Stats {
  tasks: TaskCounts
  nodes: NodeCounts
  /** Mean seconds of an inference over the last hour, of the newest 1,000; 0 when there is none. */
  average_inference_time: number
  uptime_seconds: number
}
