import type { OpenAttempt } from '../../store/attempts.js'
import type { NodeRow } from '../../store/schema.js'
import type { Fault } from '../../rules/lifecycle.js'
import type { Lane } from '../../rules/models.js'
import type { NodeStatus } from '../../wire/fields.js'
import { EMPTY_MAP } from './entries.js'

/** A node's one live session, as the core knows it. The socket is the door's. */
export interface LiveSession {
  /** Given by the door, unique in the process. */
  readonly id: number
  readonly draining: boolean
  /** It left an assignment unanswered: nothing new until it sends a heartbeat. */
  readonly stalled: boolean
  /** Why it is in maintenance, in its own words, harmless to show; null when it is not, or gave no reason. */
  readonly reason: string | null
  /** When it began, Unix ms. */
  readonly since: number
}

/**
 * What is known of a registered node. Changed by `change` of the registry only: rows and sessions in it are values, which are
 * replaced and not changed in place; attempts are changed by open-attempts.
 */
export interface NodeState {
  row: Readonly<NodeRow>
  /** False before it is registered and after it was forgotten. */
  registered: boolean
  session: LiveSession | null
  /** Pushed and not accepted: the length of their texts by task id, and of all of them. */
  offered: ReadonlyMap<string, number>
  offeredLength: number
  /** Unfinished attempts by task id. */
  held: ReadonlyMap<string, Readonly<OpenAttempt>>
  /** Service clock, ms: when what it holds is reclaimed, after its session ended; null while nothing is. */
  reclaimAt: number | null
  /** Whose fault it is then. */
  reclaimFault: Fault
}

/** A node with what follows from its state, which the registry keeps up to date, and with what is never undone. */
export interface Node extends Readonly<NodeState> {
  readonly models: readonly string[]
  readonly lanes: readonly Lane[]
  /** Service clock, ms: the last sign of life. */
  readonly seen: number
  /** What it said last that it understands, see wire/params. */
  readonly features: number
  /** How many tasks it may hold beyond its slots. */
  readonly prefetch: number
  /** Its row has changed and is not written yet. */
  dirty: boolean
  /** Service clock, ms: when its row was written last. */
  writtenAt: number
  /** The row and the session that indexes know it by; null where they do not. */
  indexedRow: Readonly<NodeRow> | null
  indexedSession: number | null
  /** What it counts as, and whether it would serve a task sooner or later; kept by its status. Null: not yet, or no more. */
  counted: NodeStatus | null
  serving: boolean
  /** Whether it is among the idle nodes. */
  idle: boolean
  /** How many tasks can be pushed to it now; kept by the lanes. */
  places: number
}

export interface NodeCounts {
  total_nodes: number
  active_nodes: number
  online_nodes: number
  busy_nodes: number
  offline_nodes: number
  maintenance_nodes: number
}

/** What is known of a node that nobody has worked with. */
export const NO_HISTORY = {
  successes: 0,
  failures: 0,
  mean_seconds: 0,
  failures_in_row: 0,
  cooled_until_ms: 0,
  drained: 0,
}

/** It failed too often in a row, and gets nothing new for a while. */
export const inCooldown = ({ row }: Node): boolean => row.cooled_until_ms > 0

/** @param seen service clock, ms: its last sign of life */
export const createNode = (row: NodeRow, seen: number): Node => ({
  row,
  registered: false,
  session: null,
  offered: EMPTY_MAP,
  offeredLength: 0,
  held: EMPTY_MAP,
  reclaimAt: null,
  reclaimFault: 'network',
  models: [],
  lanes: [],
  seen,
  features: 0,
  prefetch: 0,
  dirty: false,
  writtenAt: seen,
  indexedRow: null,
  indexedSession: null,
  counted: null,
  serving: false,
  idle: false,
  places: 0,
})
