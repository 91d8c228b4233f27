import type { OpenAttempt } from '../../store/attempts.js'
import type { NodeRow } from '../../store/schema.js'
import type { Fault } from '../../rules/lifecycle.js'
import type { Lane } from '../../rules/models.js'
import type { NodeStatus } from '../../wire/fields.js'

/** A node's one live session, as the core knows it. The socket is the door's. */
export interface LiveSession {
  /** Given by the door, unique in the process. */
  id: number
  draining: boolean
  /** It left an assignment unanswered: nothing new until it sends a heartbeat. */
  stalled: boolean
}

/** A registered node: its row, and what is known of it in memory only. */
export interface Node {
  row: NodeRow
  models: readonly string[]
  lanes: readonly Lane[]
  session: LiveSession | null
  /** Pushed and not accepted: the length of their texts by task id, and of all of them. */
  offered: ReadonlyMap<string, number>
  offeredLength: number
  /** Unfinished attempts by task id. */
  held: ReadonlyMap<string, OpenAttempt>
  /** Service clock, ms: the last sign of life. */
  seen: number
  /** Service clock, ms: when what it holds is taken back, after its session ended; null while nothing is. */
  reclaimAt: number | null
  /** Whose fault it is then. */
  reclaimFault: Fault
  /** It failed too often in a row and gets nothing new for a while. */
  inCooldown: boolean
  /** What it counts as, and whether it would serve a task sooner or later; kept by its standing. Null: not yet, or no more. */
  counted: NodeStatus | null
  serving: boolean
  /** Its row has changed and is not written yet. */
  dirty: boolean
  /** Service clock, ms: when its row was written last. */
  writtenAt: number
}

export interface NodeCounts {
  total_nodes: number
  active_nodes: number
  online_nodes: number
  busy_nodes: number
  offline_nodes: number
  maintenance_nodes: number
}
