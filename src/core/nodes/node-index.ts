import { toSeconds } from '../../lib/clock.js'
import type { ModelTable } from '../../rules/models.js'
import { createIdleNodes } from './idle-nodes.js'
import { createLanes } from './lanes.js'
import { inCooldown, type Node } from './node.js'
import { createNodeStatus } from './node-status.js'

export type Writable<T> = { -readonly [K in keyof T]: T[K] }
export type NodeIndex = ReturnType<typeof createNodeIndex>

/**
 * Every index over nodes: by lane, by session, by what they count as, and the few that wait for a time. Nothing here is state:
 * `update` makes all of it follow a node, at the cost of some comparisons where nothing has changed.
 * @param nodeTimeout ms of silence after which a polling node that holds nothing is offline
 */
export function createNodeIndex(models: ModelTable, nodeTimeout: number) {
  const status = createNodeStatus(nodeTimeout)
  const lanes = createLanes(models)
  const idle = createIdleNodes()
  /** By session; in the order of the second of their last sign of life. */
  const sessions = new Map<number, Node>()
  /** Nodes whose session ended while they held tasks. */
  const disconnected = new Set<Node>()
  const coolingDown = new Set<Node>()

  const toggle = (set: Set<Node>, node: Node, member: boolean): void => {
    if (member) set.add(node)
    else set.delete(node)
  }

  return {
    status,
    lanes,
    longestIdle: idle.longestSilent,
    sessions: sessions as ReadonlyMap<number, Node>,
    disconnected: disconnected as ReadonlySet<Node>,
    coolingDown: coolingDown as ReadonlySet<Node>,

    update(node: Writable<Node>) {
      if (node.row !== node.indexedRow) {
        const { list, lanes: served } = lanes.listOf(node)
        if (served !== node.lanes) {
          lanes.leave(node)
          node.models = list
          node.lanes = served
          lanes.join(node)
        }
        toggle(coolingDown, node, inCooldown(node))
        node.indexedRow = node.row
      }
      const session = node.session?.id ?? null
      if (session !== node.indexedSession) {
        if (node.indexedSession !== null) sessions.delete(node.indexedSession)
        if (session !== null) sessions.set(session, node)
        node.indexedSession = session
      }
      if (disconnected.size > 0 || node.reclaimAt !== null) toggle(disconnected, node, node.reclaimAt !== null)
      lanes.updateFree(node)
      idle.update(node)
      status.count(node)
    },

    /** Takes a node that is not registered out of every index. */
    remove(node: Writable<Node>) {
      lanes.leave(node)
      node.lanes = []
      if (node.indexedSession !== null) sessions.delete(node.indexedSession)
      node.indexedSession = null
      node.indexedRow = null
      disconnected.delete(node)
      coolingDown.delete(node)
      idle.drop(node)
      status.drop(node)
    },

    /** The node was heard of at `now`, service clock, ms. */
    markSeen(node: Writable<Node>, now: number) {
      // Once a second is often enough for their order, and costs nothing where one says much.
      if (node.indexedSession !== null && toSeconds(now) !== toSeconds(node.seen)) {
        sessions.delete(node.indexedSession)
        sessions.set(node.indexedSession, node)
      }
      node.seen = now
      idle.markSeen(node)
      status.markSeen(node)
    },
  }
}
