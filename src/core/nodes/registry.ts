import { toSeconds } from '../../lib/clock.js'
import { SortedMap } from '../../lib/sorted-map.js'
import type { UndoLog } from '../../lib/undo-log.js'
import type { Fault } from '../../rules/lifecycle.js'
import type { Lane, ModelTable } from '../../rules/models.js'
import { addEvidence } from '../../rules/scoring.js'
import type { NodeRow } from '../../store/schema.js'
import type { Store } from '../../store/store.js'
import type { ReadyTask } from '../../store/tasks.js'
import { sameButLastSeen } from './entries.js'
import { createNode, type LiveSession, type Node, type NodeState } from './node.js'
import { createNodeIndex, type Writable } from './node-index.js'
import { createOpenAttempts } from './open-attempts.js'
import { createWriteBehind } from './write-behind.js'

/**
 * A sign of life in a session is written no more often, ms: nothing depends on it. That of a polling node tells after a
 * start whether it is there.
 */
const WRITE_SEEN_EVERY_MS = 300_000

export type Registry = ReturnType<typeof createRegistry>

/**
 * Everything about nodes that is kept in memory: rebuilt from the file at start, and bounded by the number of registered nodes
 * and their slots. Whatever changes the state of a node goes through `change`: it keeps how it was for the undo log, and
 * brings every index up to date, so that neither can be forgotten.
 *
 * Longer than others, because it is the one place through which nodes change.
 * @param nodeTimeout ms of silence after which a polling node that holds nothing is offline
 */
export function createRegistry(store: Store, models: ModelTable, nodeTimeout: number, undo: UndoLog) {
  const index = createNodeIndex(models, nodeTimeout)
  const { lanes, status } = index
  const nodes = new SortedMap<Node>()
  /** Nodes that the undo log has put back, until they are indexed again. */
  const restored = new Set<Node>()

  /** The state of a node as it is, to be assigned back. Its last sign of life is a fact and stays. */
  const imageOf = (node: Writable<Node>) => {
    const { row, registered, session, offered, offeredLength, held, reclaimAt, reclaimFault } = node
    return () => {
      if (node.row !== row) recordSeen(row, node.row.last_heartbeat, node.row.last_seen_ms)
      Object.assign(node, { row, registered, session, offered, offeredLength, held, reclaimAt, reclaimFault })
      restored.add(node)
    }
  }
  const keep = (node: Node): void => undo.keep(node, imageOf)
  const writeBehind = createWriteBehind(store, keep)
  undo.onRollback(() => {
    for (const node of restored) {
      if (!node.registered) {
        index.remove(node)
        writeBehind.forget(node)
        continue
      }
      if (node.indexedRow?.transport !== node.row.transport) status.reinsertBySeen(node)
      index.update(node)
      lanes.mark(node) // what dispatch did with it is undone
      writeBehind.writeUndone(node)
    }
    restored.clear()
  })

  /** The one way to change what is known of a node. */
  const change = (node: Node, fn: (state: NodeState) => void): void => {
    keep(node)
    fn(node)
    index.update(node)
  }
  const changeRow = (node: Node, columns: Partial<NodeRow>): void => {
    change(node, (n) => {
      n.row = { ...n.row, ...columns }
    })
    writeBehind.changed(node)
    lanes.mark(node)
  }
  const attempts = createOpenAttempts(nodes, change, undo)

  return {
    nodes: nodes as ReadonlyMap<string, Node>,
    /** Their ids in order, from the first above `after` on. */
    idsAfter: (after: string | null): Iterable<string> => nodes.keysAfter(after),
    ...attempts,
    sessions: index.sessions,
    disconnected: index.disconnected,
    coolingDown: index.coolingDown,
    /** The node that has been silent the longest of those that have never completed anything and are not at work now. */
    longestIdle: index.longestIdle,
    dirtyLanes: lanes.dirty,
    freeIn: lanes.freeIn,
    roomIn: lanes.roomIn,
    places: lanes.places,
    markLanes: lanes.mark,
    isServed: lanes.isServed,
    servedBy: lanes.servedBy,
    servedNames: lanes.servedNames,
    spellingOf: lanes.spellingOf,
    statusOf: status.statusOf,
    onStatus: status.onStatus,
    isServing: status.isServing,
    /** Counts of all nodes by what they count as. */
    counts: status.counts,
    /** Nodes that could serve when this was asked last, and cannot now. */
    takeStopped: status.takeStopped,
    /** Writes up to `most` rows that are due. */
    writeDue: writeBehind.writeDue,
    /** Writes every row that memory is ahead of. */
    writeAll(now: number) {
      for (const node of nodes.values())
        if (node.dirty || node.row.last_seen_ms > node.writtenAt) writeBehind.write(node, now)
    },

    /** Reads the nodes from the file, at start. */
    loadNodes() {
      for (const row of store.nodes.all().sort((a, b) => a.last_seen_ms - b.last_seen_ms)) {
        const node = createNode(row, row.last_seen_ms)
        nodes.set(row.node_id, node)
        status.markSeen(node)
        change(node, (n) => {
          n.registered = true
        })
      }
      nodes.sort()
    },

    /** Reads the open attempts from the file, at start. */
    loadAttempts() {
      for (const attempt of store.attempts.allOpen()) {
        attempts.assign(attempt)
        const node = attempts.givenTo(attempt)
        if (node !== undefined) lanes.mark(node)
      }
    },

    /** Writes a node's row, unless it says nothing new, and makes memory follow. */
    save(row: NodeRow, seen: number): Node {
      const known = nodes.get(row.node_id)
      if (known !== undefined && sameButLastSeen(known.row, row)) {
        if (seen <= known.seen) return known
        const { dirty } = known
        this.sawNode(known, seen, row.last_heartbeat * 1000)
        if (!dirty) writeBehind.markClean(known, seen) // what is new is a sign of life, which is written with others
        return known
      }
      store.nodes.save(row)
      const node = known ?? createNode(row, seen)
      const alive = known === undefined || seen > known.seen || known.row.transport !== row.transport
      keep(node)
      if (known === undefined) {
        undo.keepEntry(nodes, row.node_id)
        nodes.set(row.node_id, node)
      }
      change(node, (n) => {
        n.row = row
        n.registered = true
        if (alive) index.markSeen(node, seen)
      })
      node.dirty = false
      writeBehind.markClean(node, seen)
      return node
    },

    setSession(node: Node, session: LiveSession | null) {
      change(node, (n) => {
        n.session = session
      })
      if (session === null && node.seen > node.writtenAt) writeBehind.changed(node)
    },

    /** Sets when what a disconnected node holds is reclaimed; null when it is back. */
    setReclaim(node: Node, at: number | null, fault: Fault = 'network') {
      change(node, (n) => {
        n.reclaimAt = at
        n.reclaimFault = fault
      })
    },

    /** A sign of life: a fact, which is never undone. Written later, with others: never a write per beat. */
    sawNode(node: Node, now: number, wall: number) {
      index.markSeen(node, now)
      recordSeen(node.row, toSeconds(wall), now)
      if (!node.dirty && (node.row.transport === 'rest' || now - node.writtenAt >= WRITE_SEEN_EVERY_MS))
        writeBehind.changed(node)
    },

    /**
     * Counts an attempt that ended: a figure, counted after the commit.
     * @param epoch of the node when it ended: in the same turn it may have been forgotten, or have got into new hands
     * @param seconds it took; null: it failed
     */
    countAttempt(node: Node, epoch: number, seconds: number | null) {
      if (!node.registered || node.row.epoch !== epoch) return
      addEvidence(node.row, seconds)
      writeBehind.changed(node)
    },

    /** How many of its attempts in a row have failed through its own fault. */
    setFailuresInRow(node: Node, failures: number) {
      if (node.row.failures_in_row !== failures) changeRow(node, { failures_in_row: failures })
    },

    /** Nothing new for the node before `until`, service clock, ms; 0 ends its cooldown. */
    setCooldown(node: Node, until: number) {
      if (node.row.cooled_until_ms !== until) changeRow(node, { cooled_until_ms: until })
    },

    /** What it says that it understands: a fact, which no undone turn takes back. */
    setFeatures(node: Node, features: number) {
      if (node.features === features) return
      const fact: { features: number } = node
      fact.features = features
      lanes.mark(node)
    },

    /** How many tasks it may hold beyond its slots: a fact like those. */
    setPrefetch(node: Node, prefetch: number) {
      if (node.prefetch === prefetch) return
      const fact: { prefetch: number } = node
      fact.prefetch = prefetch
      lanes.updateFree(node)
    },

    /** An operator's word about a node; durable at once. */
    setDrained(node: Node, drained: boolean) {
      this.save({ ...node.row, drained: drained ? 1 : 0 }, node.seen)
      lanes.mark(node)
    },

    /** The node's own word about itself. */
    declare(node: Node, declared: NodeRow['status']) {
      if (node.row.status !== declared) changeRow(node, { status: declared })
    },

    /** Deletes a node and its key. It holds nothing and has no session. */
    forget(node: Node) {
      const { node_id } = node.row
      store.nodes.forget(node_id)
      lanes.mark(node)
      keep(node)
      undo.keepEntry(nodes, node_id)
      nodes.delete(node_id)
      const state: NodeState = node
      state.registered = false
      index.remove(node)
      writeBehind.forget(node)
    },

    /** Whether a node other than those in `avoid` is online and serves the task, full or not. */
    anotherServes(
      task: Pick<ReadyTask, 'model_name' | 'model_type'>,
      avoid: ReadonlySet<string>,
      now: number,
    ): boolean {
      for (const lane of models.lanesOfTask(task.model_name, task.model_type)) {
        for (const node of lanes.servedBy(lane) ?? []) {
          if (!avoid.has(node.row.node_id) && status.isServing(node, now)) return true
        }
      }
      return false
    },

    /** The nodes that serve any of these lanes, online or not. */
    nodesOf: (of: readonly Lane[]): Node[] => [...new Set(of.flatMap((lane) => [...(lanes.servedBy(lane) ?? [])]))],
  }
}

/** In place: no undone turn takes back when a node was heard of. */
function recordSeen(row: NodeRow, heartbeat: number, seen: number): void {
  row.last_heartbeat = heartbeat
  row.last_seen_ms = seen
}
