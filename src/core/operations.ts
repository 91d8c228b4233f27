import type { AddressKeys } from '../lib/address.js'
import type { Outcome } from '../lib/result.js'
import type { Page, TaskFilter } from '../store/pages.js'
import type { AttemptRow } from '../store/attempt-schema.js'
import type { ReopeningRow, TaskRow } from '../store/schema.js'
import type { WrittenRecord } from '../store/store.js'
import type { LargeText, NewTask } from '../store/tasks.js'
import type { Token } from '../store/tokens.js'
import type { AuditView, InviteBody, NewTokenView, NodeKeyView, RestTokenBody, TokenView } from '../wire/access.js'
import type { CloseReason } from '../wire/codes.js'
import type { NodeStatus, TaskErrorCode } from '../wire/fields.js'
import type { Receipt } from '../wire/receipt.js'
import type { ClientAnswer } from '../wire/client-answers.js'
import type { ClientRequest, ClientSubmission } from '../wire/client.js'
import type { Hello, NodeMessage, ServerMessage } from '../wire/node.js'
import type { Proof } from '../wire/signed.js'
import type { SubmissionWarning } from '../wire/fields.js'
import type { RegisterBody, Submission } from '../wire/rest.js'
import type { WhyNot } from '../wire/task-answers.js'
import type { SettlementRow } from '../store/settlement-schema.js'
import type { Caller } from './access/caller.js'
import type { CallbackRequest, CallbackResults, CallbackWork } from './callbacks/reports.js'
import type { AskOperation, AskResults, Waiting } from './ask-operations.js'
import type { SettlementRequest, SettlementResults, SettlementWork } from './settlement/reports.js'
import type { Alert } from './anomalies/alerts.js'
import type { NodePage, NodeView, Stats } from './node-view.js'
import type { TaskView } from './task-view.js'
import type { WatchRequest, WatchResults, WatchWork } from './watching/reports.js'
import type { TracedEnd } from './rates/traced-ends.js'
import type { FeedItem } from '../wire/watch-events.js'

export type { LargeText } from '../store/tasks.js'
export type { NodePage, NodeView, SettlementRow, Stats, TaskView, Waiting }

/** What a node that polls brings. `notes`: see wire/result-notes. */
interface ReportedResult {
  output: string
  confidence: number
  usage?: { prompt_tokens: number; completion_tokens: number } | null
  notes?: string | null
}
/** Why it gives up. `code`: what is wrong with the task itself. */
interface ReportedFailure {
  error: string
  retryable: boolean
  code?: TaskErrorCode | null
}

/** What somebody asks for at a door. `proof`: it was signed by the node's key; the door has verified it. */
type Asked =
  | { op: 'submit'; tasks: Submission[] }
  /** `from`: who its address counts as; nobody where limits by address do not hold. */
  | { op: 'register'; node: RegisterBody; from: AddressKeys }
  | { op: 'heartbeat'; node_id: string; status: NodeStatus }
  /** `features`: what it understands, see wire/params. */
  | { op: 'poll'; node_id: string; running: string[] | null; features?: number; proof?: Proof }
  | ({ op: 'complete'; task_id: string; node_id: string; proof?: Proof } & ReportedResult)
  | ({ op: 'fail'; task_id: string; node_id: string; proof?: Proof } & ReportedFailure)
  | { op: 'task'; task_id: string }
  /** A task with its whole history. */
  | { op: 'taskDetail'; task_id: string }
  /** What a receipt of its result says. */
  | { op: 'receipt'; task_id: string }
  | { op: 'list'; filter: TaskFilter; before: number | null; limit: number }
  | { op: 'cancel'; task_id: string }
  | { op: 'retry'; task_id: string }
  /** `after`: the `next` of the page before. */
  | { op: 'nodes'; after: string | null; limit: number }
  | { op: 'drain'; node_id: string; drained: boolean }
  | { op: 'forget'; node_id: string }
  | { op: 'stats' }
  | { op: 'health' }
  /** Submissions of one frame of a submitter's session; each is answered by an effect that names its `ref`. */
  | { op: 'clientSubmissions'; session: number; list: ClientSubmission[] }
  /** What else a submitter's session asks for; answered by effects. */
  /** `events`: it reads the words of a task as server-sent events. */
  | { op: 'clientMessage'; session: number; message: ClientRequest; events?: boolean }
  /** Newest first; `before`: the `next` of the page before. */
  | { op: 'tokens'; before: number | null; limit: number }
  | { op: 'tokenCreate'; body: RestTokenBody }
  | { op: 'tokenRevoke'; token_id: string }
  /** `overlap`: how long the old one stays good, seconds. */
  | { op: 'tokenRotate'; token_id: string; overlap: number }
  | { op: 'invite'; body: InviteBody }
  | { op: 'allow'; public_key: string; slots_max: number | null }
  /** `subject`: a node_id, or a key. */
  | { op: 'ban'; subject: string; reason: string | null }
  | { op: 'rekey'; node_id: string; public_key: string }
  | { op: 'audit'; query: AuditQuery }
  | { op: 'alerts' }
  | SettlementRequest
  | CallbackRequest
  | WatchRequest
  | Extract<AskOperation, { op: 'models' | 'modelServed' }>

/**
 * The one interface between the doors and the core: plain values in, plain values out, many at a time. Every operation
 * has been parsed by its door. `by`: who asks; where authentication is on, nobody unless it is said.
 */
export type Operation =
  | (Asked & { by?: Caller })
  /** The door has verified the signature; `key` is the normalized public key. */
  | { op: 'nodeHello'; session: number; hello: Hello; key: string; from: AddressKeys; address?: string | null }
  | { op: 'nodeMessage'; session: number; message: Exclude<NodeMessage, Hello> }
  /** A sign of life with no meaning of its own. */
  | { op: 'nodeSeen'; session: number }
  /** `returned`: the node closed with 1000, and everything that it holds is requeued. */
  | { op: 'nodeDisconnected'; session: number; returned: boolean }
  /** A submitter's session has begun, at an address that counts as these. One from an address that is not counted need not say so. */
  | { op: 'clientConnected'; session: number; from: AddressKeys }
  /** A submitter's session has ended: its watches are gone, nothing else changes. */
  | { op: 'clientDisconnected'; session: number }
  /** The service has started. `config`: SHA-256 of its settings. */
  | { op: 'started'; config: string; mode: 'open' | 'on' }
  /** What the doors have refused since they told it last. */
  | { op: 'refused'; refused: RefusedCalls }
  /** When tokens were used last, Unix seconds. */
  | { op: 'used'; tokens: readonly { id: string; at: number }[] }
  | SettlementWork
  | CallbackWork
  | WatchWork
  | Exclude<AskOperation, { op: 'models' | 'modelServed' }>
  /** Looks at the deadlines. */
  | { op: 'tick' }
  /** Nothing new is taken or dispatched from here on; nodes are told to drain, and where to go on when it is elsewhere. */
  | ({ op: 'stop' } & Comeback)

/** When sessions may come again after a stop, in seconds; and to which URL, when it is another one. */
export interface Comeback {
  reconnect_after: number
  reconnect_to?: string
}

/** What each operation gives back. */
export interface Results extends SettlementResults, CallbackResults, AskResults, WatchResults {
  /** `status`: as it is now; not `pending` only when the task was known. */
  submit: Outcome<Submitted>[]
  register: null
  heartbeat: null
  poll: PolledTask | null
  complete: null
  fail: null
  task: TaskView
  taskDetail: TaskDetail
  receipt: ReceiptFacts
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
  tokens: { tokens: TokenView[]; next: number | null }
  tokenCreate: NewTokenView
  tokenRevoke: TokenView
  tokenRotate: { next: NewTokenView; old: TokenView }
  invite: NewTokenView
  allow: NodeKeyView
  ban: NodeKeyView
  rekey: NodeKeyView
  audit: { entries: AuditView[]; next: number | null }
  alerts: { alerts: Alert[] }
  started: null
  refused: null
  used: null
  tick: null
  stop: null
}

/** What is wanted of the audit; `after`: oldest first from there, else newest first before `before`. */
export interface AuditQuery {
  actor: string | null
  action: string | null
  subject: string | null
  before: number | null
  after: number | null
  limit: number
}

/** Calls that were refused for want of rights, and who called. */
export interface RefusedCalls {
  unauthorized: number
  forbidden: number
  /** Failed authentications by address, the most at most 100. */
  addresses: { address: string; count: number }[]
  /** Answers 500. */
  failures: number
}

/** What the doors have to know of tokens: those that are good, and how many there are, invites not counted. */
export interface AccessState {
  tokens: readonly Token[]
  counts: { made: number; good: number }
}

/** What a turn sends to sessions, in order, once it is durable. */
export type Effect =
  | { session: number; message: ServerMessage | ClientAnswer }
  | { session: number; close: CloseReason; reason: string }

/** Something that happened, for the log. Never holds a prompt, an output or a key. */
export interface CoreEvent {
  level: 'debug' | 'info' | 'warn' | 'error'
  event: string
  [field: string]: string | number | boolean | null
}

/**
 * How many tasks wait for a node, are at one, and have come to an end since the start; and how many more could be pushed to nodes, null
 * where none is in session.
 */
export interface TaskFigures {
  waiting: number
  working: number
  ended: number
  places: number | null
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
  tasks?: TaskFigures
  /** How long the turn took, and the commit within it, with its sync, ms. */
  took: { all: number; commit: number }
  /** Its sync ran beside the core, which may have the next turn meanwhile. */
  beside?: true
  /** Who has access, when that has changed since the last turn; with the first turn always. */
  access?: AccessState
  /** Settlements are to be looked at: the relay asks for them. */
  settlementsDue?: true
  /** The same of callbacks. */
  callbacksDue?: true
  /** What the live feed is told. */
  feed?: readonly FeedItem[]
  /** Tasks of traces that have ended. */
  traced?: readonly TracedEnd[]
  /** What the turn has added to the journal, where there is one. Nothing of the turn is told to anybody before it is in the log. */
  written?: WrittenRecord
  /** The database is damaged, and how that has shown. */
  damaged?: string
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

export interface TaskDetail extends TaskView {
  /** Their `_ms` are of the wall clock here. */
  attempts: AttemptRow[]
  reopenings: ReopeningRow[]
  /** Why it is not worked on, and by each node that could; null unless it is pending. */
  waiting: (Waiting & { nodes: { node_id: string; why: WhyNot }[] }) | null
  /** When it was submitted, to the second where it was opened again since; and since when it waits, or has waited last. Unix ms. */
  created_ms: number
  queued_ms: number
}

/** What is known of a task's result, before its texts are hashed: as they were submitted, or their UTF-8. */
export type ReceiptFacts = Omit<
  Receipt,
  'type' | 'input_hash' | 'context_hash' | 'output_hash' | 'network' | 'service_key' | 'service_address'
> & { user_input: LargeText; context: LargeText; output: LargeText }
