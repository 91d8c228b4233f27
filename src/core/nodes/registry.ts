import { toSeconds } from '../../lib/clock.js'
import type { OpenAttempt } from '../../store/attempts.js'
import type { NodeRow } from '../../store/schema.js'
import type { Store } from '../../store/store.js'
import type { Fault } from '../../rules/lifecycle.js'
import type { Lane, ModelTable } from '../../rules/models.js'
import type { ReadyTask } from '../../store/tasks.js'
import type { NodeStatus } from '../../wire/fields.js'
import { EMPTY_MAP, sameButLastSeen, withEntry, withoutEntry } from './entries.js'
import { createModelLists } from './model-lists.js'
import type { Node, LiveSession } from './node.js'
import { Pool } from './free-pool.js'
import { createWriteBehind } from './write-behind.js'
import { createNodeStatus } from './node-status.js'

export type { Node, NodeCounts, LiveSession as Session } from './node.js'

interface Members {
  all: Set<Node>
  /** Nodes in session that a task can be pushed to now. */
  free: Pool<Node>
}

/**
 * A node that has so much unaccepted (UTF-16 units) gets nothing more until it accepts: to accept is to have read, so a slow
 * reader costs no more memory than this and its largest task.
 */
const MAX_OFFERED = 8 * 1024 * 1024

/**
 * A sign of life in a session is written no more often, ms: nothing depends on it. That of a polling node tells after a
 * start whether it is there.
 */
const WRITE_SEEN_EVERY_MS = 300_000

/** What is known of a node that nobody has worked with. */
export const NO_HISTORY = {
  successes: 0,
  failures: 0,
  mean_seconds: 0,
  failures_in_row: 0,
  cooled_until_ms: 0,
  drained: 0,
}

const createNode = (row: NodeRow, seen: number): Node => ({
  row,
  models: [],
  lanes: [],
  session: null,
  offered: EMPTY_MAP,
  offeredLength: 0,
  held: EMPTY_MAP,
  seen,
  reclaimAt: null,
  reclaimFault: 'network',
  inCooldown: false,
  counted: null,
  serving: false,
  dirty: false,
  writtenAt: seen,
})

export type Registry = ReturnType<typeof createRegistry>

/**
 * Everything about nodes that is kept in memory: rebuilt from the file at start (and when a transaction was undone), and
 * bounded by the number of registered nodes and their slots.
 * @param nodeTimeout ms of silence after which a polling node that holds nothing is offline
 * @param undo keeps what takes a change of a node or its session back, in case the turn is undone
 */
export function createRegistry(
  store: Store,
  models: ModelTable,
  nodeTimeout: number,
  undo: (step: () => void) => void,
) {
  const standing = createNodeStatus(nodeTimeout)
  const saving = createWriteBehind(store, undo)
  const modelsOf = createModelLists(models)
  const nodes = new Map<string, Node>()
  const lanes = new Map<Lane, Members>()
  const open = new Map<string, OpenAttempt>()
  /** By session; in the order of the second of their last sign of life. */
  const sessions = new Map<number, Node>()
  /** Lanes in which something has changed: dispatch looks at these only. */
  const dirtyLanes = new Set<Lane>()
  /** Nodes whose session ended while they held tasks. */
  const disconnected = new Set<Node>()
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
  const hear = (node: Node, now: number): void => {
    // Once a second is often enough for their order, and costs nothing where one says much.
    if (node.session !== null && toSeconds(now) !== toSeconds(node.seen)) {
      sessions.delete(node.session.id)
      sessions.set(node.session.id, node)
    }
    node.seen = now
    standing.markSeen(node)
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
    n.session !== null &&
    !n.session.draining &&
    !n.session.stalled &&
    !n.inCooldown &&
    n.row.drained === 0 &&
    n.offeredLength < MAX_OFFERED &&
    n.row.status === 'online' &&
    n.held.size < n.row.max_concurrent_tasks
  /** Call after anything that may change whether tasks can be pushed to the node, or what it counts as. */
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
    standing.count(node)
  }
  const markLanes = (node: Node): void => {
    for (const lane of node.lanes) dirtyLanes.add(lane)
  }
  /** @param until 0: it may get tasks again */
  const setCooling = (node: Node, until: number): void => {
    const before = node.row.cooled_until_ms
    const put = (time: number): void => {
      node.row.cooled_until_ms = time
      node.inCooldown = time > 0
      if (node.inCooldown) cooling.add(node)
      else cooling.delete(node)
      saving.changed(node)
      touch(node)
      markLanes(node)
    }
    undo(() => put(before))
    put(until)
  }
  const joinLanes = (node: Node): void => {
    const { list, lanes: of } = modelsOf(node.row.supported_models)
    node.models = list
    node.lanes = of
    for (const lane of node.lanes) members(lane).all.add(node)
    touch(node)
  }

  return {
    nodes: nodes as ReadonlyMap<string, Node>,
    /** Open attempts by task id. */
    open: open as ReadonlyMap<string, OpenAttempt>,
    sessions: sessions as ReadonlyMap<number, Node>,
    away: disconnected as ReadonlySet<Node>,
    cooling: cooling as ReadonlySet<Node>,
    dirtyLanes,
    freeIn: (lane: Lane): Pool<Node> | undefined => lanes.get(lane)?.free,
    statusOf: standing.statusOf,
    isServing: standing.isServing,
    /** Counts of all nodes by what they count as. */
    counts: standing.counts,
    /** Nodes that could serve when this was asked last, and cannot now. */
    takeStopped: standing.takeStopped,
    /** Call after a change of a row that is to be written later, with others. */
    changed: saving.changed,
    /** Writes up to `most` rows that are due. */
    writeDue: saving.writeDue,
    /** Writes every row that memory is ahead of. */
    writeAll(now: number) {
      for (const node of nodes.values())
        if (node.dirty || node.row.last_seen_ms > node.writtenAt) saving.write(node, now)
    },
    touch,
    markLanes,

    /** Reads the nodes from the file, at start. */
    loadNodes() {
      for (const row of store.nodes.all().sort((a, b) => a.last_seen_ms - b.last_seen_ms)) {
        const node = createNode(row, row.last_seen_ms)
        nodes.set(row.node_id, node)
        standing.markSeen(node)
        node.inCooldown = row.cooled_until_ms > 0
        if (node.inCooldown) cooling.add(node)
        joinLanes(node)
      }
    },

    /** Reads the open attempts from the file: at start, and when a transaction was undone. */
    loadAttempts() {
      const rows = store.attempts.allOpen() // first: what throws here must leave memory as it was
      open.clear()
      for (const node of nodes.values()) {
        node.held = EMPTY_MAP
        node.offered = EMPTY_MAP
        node.offeredLength = 0
      }
      for (const attempt of rows) {
        open.set(attempt.task_id, attempt)
        const node = nodes.get(attempt.node_id)
        if (node !== undefined) node.held = withEntry(node.held, attempt.task_id, attempt)
      }
      for (const node of nodes.values()) {
        touch(node)
        markLanes(node) // what dispatch did with them may have been undone
      }
    },

    /** Writes a node's row, unless it says nothing new, and makes memory follow. */
    save(row: NodeRow, seen: number): Node {
      const known = nodes.get(row.node_id)
      if (known !== undefined && sameButLastSeen(known.row, row)) {
        if (seen <= known.seen) return known
        const { dirty } = known
        this.sawNode(known, seen, row.last_heartbeat * 1000)
        if (!dirty) saving.rest(known, seen) // what is new is a sign of life, which is written with others
        return known
      }
      store.nodes.save(row)
      const node = known ?? createNode(row, seen)
      const before = node.row
      const alive = known === undefined || seen > known.seen || before.transport !== row.transport
      const put = (next: NodeRow): void => {
        leaveLanes(node)
        node.row = next
        if (alive) hear(node, seen)
        joinLanes(node)
      }
      undo(() => {
        put(before)
        if (known !== undefined) return saving.changed(node)
        leaveLanes(node)
        standing.drop(node)
        saving.forget(node)
        nodes.delete(row.node_id)
      })
      nodes.set(row.node_id, node)
      put(row)
      node.dirty = false
      saving.rest(node, seen)
      return node
    },

    attach(node: Node, session: LiveSession | null) {
      const before = node.session
      const put = (next: LiveSession | null): void => {
        if (node.session !== null) sessions.delete(node.session.id)
        node.session = next
        if (next !== null) sessions.set(next.id, node)
        touch(node)
      }
      undo(() => put(before))
      put(session)
      if (session === null && node.seen > node.writtenAt) saving.changed(node)
    },

    /** Sets when what an absent node holds is taken back; null when it is back. */
    setReclaim(node: Node, at: number | null, fault: Fault = 'network') {
      const { reclaimAt: takeBackAt, reclaimFault: takeBackFault } = node
      const put = (next: number | null, whose: Fault): void => {
        node.reclaimAt = next
        node.reclaimFault = whose
        if (next === null) disconnected.delete(node)
        else disconnected.add(node)
      }
      undo(() => put(takeBackAt, takeBackFault))
      put(at, fault)
    },

    /** Gives every open lease at least until `time`, in memory. */
    extendLeases(time: number) {
      for (const attempt of open.values()) attempt.lease_ms = Math.max(attempt.lease_ms, time)
    },

    /** A sign of life. Written to the file later, with others: never a write per beat. */
    sawNode(node: Node, now: number, wall: number) {
      hear(node, now)
      node.row.last_heartbeat = toSeconds(wall)
      node.row.last_seen_ms = now
      if (!node.dirty && (node.row.transport === 'rest' || now - node.writtenAt >= WRITE_SEEN_EVERY_MS))
        saving.changed(node)
    },

    /** How many of its attempts in a row have failed through its own fault. */
    setFailuresInRow(node: Node, failures: number) {
      const { row } = node
      const before = row.failures_in_row
      if (before === failures) return
      undo(() => {
        row.failures_in_row = before
      })
      row.failures_in_row = failures
      saving.changed(node)
    },

    /** It failed too often in a row: nothing new for it before `until`. */
    startCooldown(node: Node, until: number) {
      setCooling(node, until)
    },

    /** It may get tasks again. */
    endCooldown(node: Node) {
      setCooling(node, 0)
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
        if (node.inCooldown) cooling.add(node)
        standing.reinsertBySeen(node)
        joinLanes(node)
        if (node.dirty) saving.changed(node)
      })
      markLanes(node)
      leaveLanes(node)
      cooling.delete(node)
      standing.drop(node)
      saving.forget(node)
      nodes.delete(node_id)
    },

    /** The node's own word about itself. */
    declare(node: Node, status: NodeStatus) {
      if (node.row.status === status) return
      node.row.status = status
      saving.changed(node)
      touch(node)
      markLanes(node)
    },

    assign(node: Node, attempt: OpenAttempt) {
      open.set(attempt.task_id, attempt)
      node.held = withEntry(node.held, attempt.task_id, attempt)
      touch(node)
    },

    /** Notes that an attempt was pushed; `accepted` when it was accepted or ended. */
    offer(node: Node, taskId: string, length: number) {
      node.offered = withEntry(node.offered, taskId, length)
      node.offeredLength += length
      touch(node)
    },
    accepted(node: Node, taskId: string) {
      const length = node.offered.get(taskId)
      if (length === undefined) return
      node.offered = withoutEntry(node.offered, taskId)
      node.offeredLength -= length
      touch(node)
    },

    release(attempt: OpenAttempt): Node | undefined {
      open.delete(attempt.task_id)
      const node = nodes.get(attempt.node_id)
      if (node !== undefined) this.accepted(node, attempt.task_id)
      if (node?.held.has(attempt.task_id) === true) {
        node.held = withoutEntry(node.held, attempt.task_id)
        touch(node)
      }
      return node
    },

    /** Whether a node other than those in `avoid` is online and serves the task, full or not. */
    anotherServes(task: ReadyTask, avoid: ReadonlySet<string>, now: number): boolean {
      for (const lane of models.lanesOfTask(task.model_name, task.model_type)) {
        for (const node of lanes.get(lane)?.all ?? []) {
          if (!avoid.has(node.row.node_id) && standing.isServing(node, now)) return true
        }
      }
      return false
    },

    /** The nodes that serve any of these lanes, online or not. */
    nodesOf: (of: readonly Lane[]): Node[] => [...new Set(of.flatMap((lane) => [...(lanes.get(lane)?.all ?? [])]))],
  }
}
