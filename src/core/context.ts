import type { Network } from '../chain/address.js'
import type { TimeSource } from '../lib/clock.js'
import type { UndoLog } from '../lib/undo-log.js'
import type { Node } from './nodes/node.js'
import type { Registry } from './nodes/registry.js'
import type { Store } from '../store/store.js'
import type { ModelTable } from '../rules/models.js'
import type { TaskStatus } from '../rules/lifecycle.js'
import type { ClientAnswer } from '../wire/client-answers.js'
import type { CloseReason } from '../wire/codes.js'
import type { NodeMessage, ServerMessage } from '../wire/node.js'
import type { CoreEvent, Effect } from './operations.js'
import type { AccessControl, AccessSettings } from './access/control.js'
import type { Credentials } from './access/credentials.js'
import type { AlertThresholds } from './anomalies/settings.js'
import type { Durations } from './durations.js'
import type { Moments } from './moments.js'
import type { Figures } from './rates/figures.js'
import type { Meter } from './rates/meter.js'

/** What an operator may set of the core. Times in milliseconds. */
export interface CoreOptions {
  heartbeatInterval: number
  acceptTimeout: number
  reconnectGrace: number
  restartGrace: number
  nodeTimeout: number
  /** A pending task that has waited longer goes first. */
  starvationAfter: number
  /** A pending task that has waited longer is `timeout`; 0 = never. */
  maxQueueTime: number
  maxAttempts: number
  timeoutAttempts: number
  maxPendingTasks: number
  /** 0 = no limit. */
  maxPendingPerUser: number
  maxNodes: number
  maxNodeSlots: number
  /** New nodes of one address in an hour. */
  maxNewNodesPerHour: number
  /** The largest `max_infer_time` of a new task, seconds. */
  maxInferTimeLimit: number
  maxMessageBytes: number
  maxOutputBytes: number
  /** Tasks that ended longer ago are deleted; 0 = never. */
  retention: number
  access: AccessSettings & EnrolmentSettings
  alerts: AlertThresholds
  /** What of the chain the core has to know; null where it is not looked at. */
  chain: ChainOptions | null
  /** Whether the ends of tasks are told to those who ask for it. */
  callbacks: boolean
  /** The write-ahead log may grow to so many bytes while another program holds it. */
  maxWalBytes: number
}

/** How tasks are paid. */
export interface ChainOptions {
  network: Network
  requireSignedTx: boolean
  /** How deep a block has to be for what it says to be final; 1: it is the tip. */
  confirmations: number
  giveSignedTxToPollingNodes: boolean
  stakeRequired: boolean
  /** The stake of a node covers so many times the infer_fee of all that it holds. */
  stakeFactor: number
  /** How long a stake is believed, ms. */
  stakeTtl: number
  /** How often the relay looks again at what it has posted, ms. */
  pollInterval: number
  /** An unposted settlement that is older is warned of, ms. */
  warnAfter: number
  /** Whether blocks are announced to us. */
  observed: boolean
}

/** Which nodes are let in, once authentication is on. */
export interface EnrolmentSettings {
  /** open: every key; invite: those that came with an invite once; list: those that an operator has allowed. */
  enrolment: 'open' | 'invite' | 'list'
  /** The largest infer_fee of a task for a node in probation. */
  probationMaxFee: number
}

/** What the parts of the core share during a turn. */
export interface Context {
  options: CoreOptions
  store: Store
  credentials: Credentials
  access: AccessControl
  registry: Registry
  models: ModelTable
  durations: Durations
  time: TimeSource
  random: () => number
  /** Service clock at the beginning of this operation, ms. */
  now: number
  /** Wall clock at the beginning of this operation, ms. */
  wall: number
  /** The earliest deadline that is known, service clock, ms. Lower it with `wake`. */
  wakeAt: number
  /** Nothing new is dispatched: the service stops. */
  stopping: boolean
  /** Pending tasks per user; only kept when there is a limit, or authentication is on. */
  pendingPerUser: Map<string, number> | null
  /** Nodes that hold less than before: a drained session that holds nothing is closed at the end of the turn. */
  releasedNodes: Set<Node>
  watches: WatchHooks
  /** When things were by the wall clock. */
  moments: Moments
  /** Told of tasks and attempts as they go, for the figures. */
  meter: Meter
  /** What has come of that. */
  figures: Figures
  effects: Effect[]
  events: CoreEvent[]
  /** Whether a transaction pays for the task of an attempt that was given since the start: known without reading. */
  paid: WeakMap<object, boolean>
  /** Tasks of this run that nobody is called back for, and attempts at them: known without reading, as above. */
  noCallback: WeakSet<object>
  /** A settlement is to be looked at by the relay. */
  settlementsDue: boolean
  /** The same of a callback. */
  callbacksDue: boolean
  /** How memory was before this turn. */
  undo: UndoLog
  /** Figures that are counted once the turn is durable, so that one that is undone or run again counts nothing. */
  afterCommit: (() => void)[]
  /**
   * A part of the turn that may fail alone: then nothing of it is left in the file, in memory, or in what is sent, and the error
   * is returned.
   * @throws when the whole transaction was undone with it
   */
  savepoint(change: () => void): Error | null
  wake(at: number): void
  send(session: number, message: ServerMessage | ClientAnswer): void
  close(session: number, close: CloseReason, reason: string): void
  log(level: CoreEvent['level'], event: string, fields?: Record<string, string | number | boolean | null>): void
}

/** A piece of text from a node. */
export type OutputPiece = Omit<Extract<NodeMessage, { type: 'task.output' }>, 'type'>

/** What the parts of the core tell those who watch tasks. Each costs a look at the size of a Map while nothing is watched. */
export interface WatchHooks {
  /**
   * Wherever the status of a task changes, in the transaction in which it does. Told to who watches at the end of the turn.
   * @param attempt the number of its newest attempt; null when it is not at hand
   */
  changed(taskId: string, status: TaskStatus, attempt: number | null): void
  /** A task is pushed to a node: whether its text is wanted while it is made. From then on the text is kept. */
  streams(taskId: string, attempt: number): boolean
  /** A piece of text from the node that holds this attempt. */
  output(piece: OutputPiece): void
}
