import { toSeconds } from '../lib/clock.js'
import type { OpenAttempt } from '../store/attempts.js'
import type { NodeRow } from '../store/schema.js'
import type { Store } from '../store/store.js'
import type { Fault } from '../tasks/lifecycle.js'
import type { Lane, ModelTable } from '../tasks/models.js'
import type { ReadyTask } from '../store/tasks.js'
import type { NodeStatus } from '../wire/fields.js'
import { Pool } from './pool.js'

/** A node's one live session, as the core knows it. The socket is the door's. */
export interface Session {
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
  session: Session | null
  /** Pushed and not accepted: the length of their texts by task id, and of all of them. */
  offered: Map<string, number>
  offeredLength: number
  /** Unfinished attempts by task id. */
  held: Map<string, OpenAttempt>
  /** Service clock, ms: the last sign of life. */
  seen: number
  /** Service clock, ms: when what it holds is taken back, after its session ended; null while nothing is. */
  takeBackAt: number | null
  /** Whose fault it is then. */
  takeBackFault: Fault
  /** It failed too often in a row and gets nothing new for a while. */
  cooling: boolean
  /** Whether it counted as able to serve at the last sweep. */
  wasServing: boolean
  /** Its row has changed and is not written yet. */
  dirty: boolean
  /** Service clock, ms: when its row was written last. */
  savedAt: number
}

interface Members {
  all: Set<Node>
  /** Nodes in session that a task can be pushed to now. */
  free: Pool<Node>
}

export interface NodeCounts {
  total_nodes: number
  active_nodes: number
  online_nodes: number
  busy_nodes: number
  offline_nodes: number
  maintenance_nodes: number
}

/**
 * A node that has so much unaccepted (UTF-16 units) gets nothing more until it accepts: to accept is to have read, so a slow
 * reader costs no more memory than this and its largest task.
 */
const MAX_OFFERED = 8 * 1024 * 1024

/** What is known of a node that nobody has worked with. */
export const NO_HISTORY = { successes: 0, failures: 0, mean_seconds: 0, failures_in_row: 0, cooled_until_ms: 0, drained: 0 }

const createNode = (row: NodeRow, seen: number): Node => ({
  row,
  models: [],
  lanes: [],
  session: null,
  offered: new Map(),
  offeredLength: 0,
  held: new Map(),
  seen,
  takeBackAt: null,
  takeBackFault: 'network',
  cooling: false,
  wasServing: false,
  dirty: false,
  savedAt: 0,
})

export type Registry = ReturnType<typeof createRegistry>

/**
 * Everything about nodes that is kept in memory: rebuilt from the file at start (and when a transaction was undone), and
 * bounded by the number of registered nodes and their slots.
 * @param nodeTimeout ms of silence after which a polling node that holds nothing is offline
 * @param undo keeps what takes a change of a node or its session back, in case the turn is undone
 */
export function createRegistry(store: Store, models: ModelTable, nodeTimeout: number, undo: (step: () => void) => void) {
  const nodes = new Map<string, Node>()
  const lanes = new Map<Lane, Members>()
  const open = new Map<string, OpenAttempt>()
  const sessions = new Map<number, Node>()
  /** Lanes in which something has changed: dispatch looks at these only. */
  const dirtyLanes = new Set<Lane>()
  /** Nodes whose session ended while they held tasks. */
  const away = new Set<Node>()
  /** Nodes that get a rest. */
  const cooling = new Set<Node>()

  const members = (lane: Lane): Members => {
    let found = lanes.get(lane)
    if (found === undefined) {
      found = { all: new Set(), free: new Pool() }
      lanes.set(lane, found)
    }
    return found
  }
  const leaveLanes = (node: Node): void => {
    for (const lane of node.lanes) {
      const m = lanes.get(lane)
      m?.all.delete(node)
      m?.free.delete(node)
      if (m?.all.size === 0) lanes.delete(lane)
    }
  }
  const isFree = (n: Node): boolean =>
    n.session !== null && !n.session.draining && !n.session.stalled && !n.cooling && n.row.drained === 0 && n.offeredLength < MAX_OFFERED && n.row.status === 'online' && n.held.size < n.row.max_concurrent_tasks
  /** Call after anything that may change whether tasks can be pushed to the node. */
  const touch = (node: Node): void => {
    const free = isFree(node)
    for (const lane of node.lanes) {
      const m = members(lane)
      if (!free) m.free.delete(node)
      else if (!m.free.has(node)) {
        m.free.add(node)
        dirtyLanes.add(lane)
      }
    }
  }
  const markLanes = (node: Node): void => {
    for (const lane of node.lanes) dirtyLanes.add(lane)
  }
  const joinLanes = (node: Node): void => {
    node.models = JSON.parse(node.row.supported_models) as string[]
    node.lanes = models.lanesOfNode(node.models)
    for (const lane of node.lanes) members(lane).all.add(node)
    touch(node)
  }

  const statusOf = (n: Node, now: number): NodeStatus => {
    const full = n.held.size >= n.row.max_concurrent_tasks
    const declared = n.row.status
    if (n.row.transport === 'websocket') {
      if (n.session === null) return 'offline'
      if (declared === 'maintenance' || n.session.draining || n.row.drained === 1) return 'maintenance'
      return declared === 'busy' || full || n.session.stalled || n.cooling ? 'busy' : 'online'
    }
    if (declared === 'maintenance' || declared === 'offline') return declared
    if (n.row.drained === 1) return 'maintenance'
    if (full || n.cooling || declared === 'busy') return n.held.size > 0 || now - n.seen <= nodeTimeout ? 'busy' : 'offline'
    if (now - n.seen <= nodeTimeout) return 'online'
    return n.held.size > 0 ? 'busy' : 'offline'
  }
  /** Online, full or not: it would serve a task sooner or later. */
  const isServing = (n: Node, now: number): boolean =>
    n.cooling || n.row.drained === 1
      ? false
      : n.row.transport === 'websocket'
      ? n.session !== null && !n.session.draining && n.row.status === 'online'
      : ['online', 'busy'].includes(statusOf(n, now))

  return {
    nodes: nodes as ReadonlyMap<string, Node>,
    /** Open attempts by task id. */
    open: open as ReadonlyMap<string, OpenAttempt>,
    sessions: sessions as ReadonlyMap<number, Node>,
    away: away as ReadonlySet<Node>,
    cooling: cooling as ReadonlySet<Node>,
    dirtyLanes,
    freeIn: (lane: Lane): Pool<Node> | undefined => lanes.get(lane)?.free,
    statusOf,
    isServing,
    touch,
    markLanes,

    /** Reads the nodes from the file, at start. */
    loadNodes() {
      for (const row of store.nodes.all()) {
        const node = createNode(row, row.last_seen_ms)
        nodes.set(row.node_id, node)
        node.cooling = row.cooled_until_ms > 0
        if (node.cooling) cooling.add(node)
        joinLanes(node)
      }
    },

    /** Reads the open attempts from the file: at start, and when a transaction was undone. */
    loadAttempts() {
      const rows = store.attempts.allOpen() // first: what throws here must leave memory as it was
      open.clear()
      for (const node of nodes.values()) {
        node.held.clear()
        node.offered.clear()
        node.offeredLength = 0
      }
      for (const attempt of rows) {
        open.set(attempt.task_id, attempt)
        nodes.get(attempt.node_id)?.held.set(attempt.task_id, attempt)
      }
      for (const node of nodes.values()) {
        touch(node)
        markLanes(node) // what dispatch did with them may have been undone
      }
    },

    /** Writes a node's row and makes memory follow. */
    save(row: NodeRow, seen: number): Node {
      store.nodes.save(row)
      const known = nodes.get(row.node_id)
      const node = known ?? createNode(row, seen)
      const before = node.row
      const put = (next: NodeRow): void => {
        leaveLanes(node)
        node.row = next
        joinLanes(node)
      }
      undo(() => {
        put(before)
        if (known !== undefined) return
        leaveLanes(node)
        nodes.delete(row.node_id)
      })
      nodes.set(row.node_id, node)
      put(row)
      node.seen = seen
      return node
    },

    attach(node: Node, session: Session | null) {
      const before = node.session
      const put = (next: Session | null): void => {
        if (node.session !== null) sessions.delete(node.session.id)
        node.session = next
        if (next !== null) sessions.set(next.id, node)
        touch(node)
      }
      undo(() => put(before))
      put(session)
    },

    /** Sets when what an absent node holds is taken back; null when it is back. */
    setTakeBack(node: Node, at: number | null, fault: Fault = 'network') {
      const { takeBackAt, takeBackFault } = node
      const put = (next: number | null, whose: Fault): void => {
        node.takeBackAt = next
        node.takeBackFault = whose
        if (next === null) away.delete(node)
        else away.add(node)
      }
      undo(() => put(takeBackAt, takeBackFault))
      put(at, fault)
    },

    /** A sign of life. Written to the file later, with others: never a write per beat. */
    sawNode(node: Node, now: number, wall: number) {
      node.seen = now
      node.row.last_heartbeat = toSeconds(wall)
      node.row.last_seen_ms = now
      node.dirty = true
    },

    /** It failed too often in a row: nothing new for it before `until`. */
    cool(node: Node, until: number) {
      node.row.cooled_until_ms = until
      node.cooling = true
      node.dirty = true
      cooling.add(node)
      touch(node)
      markLanes(node)
    },

    /** It may get tasks again. */
    warm(node: Node) {
      node.row.cooled_until_ms = 0
      node.cooling = false
      node.dirty = true
      cooling.delete(node)
      touch(node)
      markLanes(node)
    },

    /** An operator's word about a node. */
    setDrained(node: Node, drained: boolean) {
      this.save({ ...node.row, drained: drained ? 1 : 0 }, node.seen)
      markLanes(node)
    },

    /** Deletes a node and its key. It holds nothing and has no session. */
    forget(node: Node) {
      const { node_id } = node.row
      store.nodes.forget(node_id)
      undo(() => {
        nodes.set(node_id, node)
        if (node.cooling) cooling.add(node)
        joinLanes(node)
      })
      markLanes(node)
      leaveLanes(node)
      cooling.delete(node)
      nodes.delete(node_id)
    },

    /** The node's own word about itself. */
    declare(node: Node, status: NodeStatus) {
      if (node.row.status === status) return
      node.row.status = status
      node.dirty = true
      touch(node)
      markLanes(node)
    },

    hold(node: Node, attempt: OpenAttempt) {
      open.set(attempt.task_id, attempt)
      node.held.set(attempt.task_id, attempt)
      touch(node)
    },

    /** Notes that an attempt was pushed; `accepted` when it was accepted or ended. */
    offer(node: Node, taskId: string, length: number) {
      node.offered.set(taskId, length)
      node.offeredLength += length
      touch(node)
    },
    accepted(node: Node, taskId: string) {
      const length = node.offered.get(taskId)
      if (length === undefined) return
      node.offered.delete(taskId)
      node.offeredLength -= length
      touch(node)
    },

    letGo(attempt: OpenAttempt): Node | undefined {
      open.delete(attempt.task_id)
      const node = nodes.get(attempt.node_id)
      if (node !== undefined) this.accepted(node, attempt.task_id)
      if (node?.held.delete(attempt.task_id) === true) touch(node)
      return node
    },

    /** Whether a node other than those in `avoid` is online and serves the task, full or not. */
    anotherServes(task: ReadyTask, avoid: ReadonlySet<string>, now: number): boolean {
      for (const lane of models.lanesOfTask(task.model_name, task.model_type)) {
        for (const node of lanes.get(lane)?.all ?? []) {
          if (!avoid.has(node.row.node_id) && isServing(node, now)) return true
        }
      }
      return false
    },

    /** The nodes that serve any of these lanes, online or not. */
    nodesOf: (of: readonly Lane[]): Node[] => [...new Set(of.flatMap((lane) => [...(lanes.get(lane)?.all ?? [])]))],

    counts(now: number): NodeCounts {
      const by = { online: 0, offline: 0, busy: 0, maintenance: 0 }
      for (const node of nodes.values()) by[statusOf(node, now)]++
      return {
        total_nodes: nodes.size,
        active_nodes: by.online + by.busy,
        online_nodes: by.online,
        busy_nodes: by.busy,
        offline_nodes: by.offline,
        maintenance_nodes: by.maintenance,
      }
    },
  }
}
