import type { TimeSource } from '../lib/clock.js'
import type { Node, Registry } from '../nodes/registry.js'
import type { Store } from '../store/store.js'
import type { ModelTable } from '../tasks/models.js'
import type { CloseReason } from '../wire/codes.js'
import type { ServerMessage } from '../wire/node.js'
import type { CoreEvent, Effect } from './operations.js'
import type { Durations } from './durations.js'

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
  maxMessageBytes: number
  maxOutputBytes: number
  /** Tasks that ended longer ago are deleted; 0 = never. */
  retention: number
  /** The write-ahead log may grow to so many bytes while another program holds it. */
  maxWalBytes: number
}

/** What the parts of the core share during a turn. */
export interface Context {
  options: CoreOptions
  store: Store
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
  /** Pending tasks per user; only kept when there is a limit. */
  pendingPerUser: Map<string, number> | null
  /** Nodes that hold less than before: a drained session that holds nothing is closed at the end of the turn. */
  lightened: Set<Node>
  effects: Effect[]
  events: CoreEvent[]
  /** Takes back what memory took from this turn and the file does not hold: sessions. Run in reverse. */
  undo: (() => void)[]
  wake(at: number): void
  send(session: number, message: ServerMessage): void
  close(session: number, close: CloseReason, reason: string): void
  log(level: CoreEvent['level'], event: string, fields?: Record<string, string | number | boolean | null>): void
}
