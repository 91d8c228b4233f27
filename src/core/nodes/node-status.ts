import type { NodeStatus } from '../../wire/fields.js'
import { inCooldown, type Node, type NodeCounts } from './node.js'

export type NodeStatusCounts = ReturnType<typeof createNodeStatus>

/**
 * What each node counts as, kept while things happen: to count is to read four numbers, however many nodes there are.
 * Only the silence of a polling node changes it without anything happening; those are kept in the order of their last word.
 * @param nodeTimeout ms of silence after which a polling node that holds nothing is offline
 */
export function createNodeStatus(nodeTimeout: number) {
  const by: Record<NodeStatus, number> = { online: 0, offline: 0, busy: 0, maintenance: 0 }
  /** Polling nodes that were heard of within `nodeTimeout`, the longest silent first. */
  const recentlySeen = new Set<Node>()
  /** Nodes that have stopped to serve, until somebody asks. */
  const stopped = new Set<Node>()

  /** Told of nodes that count as something else, while somebody wants to know. */
  let follow: ((node: Node) => void) | null = null

  const isFresh = (n: Node, now: number): boolean => now - n.seen <= nodeTimeout
  /** @param fresh whether it was heard of within `nodeTimeout`; matters to a polling node only */
  const statusWith = (n: Node, fresh: boolean): NodeStatus => {
    const full = n.held.size >= n.row.max_concurrent_tasks
    const declared = n.row.status
    if (n.row.transport === 'websocket') {
      if (n.session === null) return 'offline'
      if (declared === 'maintenance' || n.session.draining || n.row.drained === 1) return 'maintenance'
      return declared === 'busy' || full || n.session.stalled || inCooldown(n) ? 'busy' : 'online'
    }
    if (declared === 'maintenance' || declared === 'offline') return declared
    if (n.row.drained === 1) return 'maintenance'
    if (full || inCooldown(n) || declared === 'busy') return n.held.size > 0 || fresh ? 'busy' : 'offline'
    if (fresh) return 'online'
    return n.held.size > 0 ? 'busy' : 'offline'
  }
  const servingWith = (n: Node, fresh: boolean): boolean => {
    if (inCooldown(n) || n.row.drained === 1) return false
    if (n.row.transport === 'websocket') return n.session !== null && !n.session.draining && n.row.status === 'online'
    const status = statusWith(n, fresh)
    return status === 'online' || status === 'busy'
  }

  /** Call after anything that may change what the node counts as. */
  const count = (node: Node): void => {
    const fresh = recentlySeen.has(node)
    const status = statusWith(node, fresh)
    if (status !== node.counted) {
      if (node.counted !== null) by[node.counted]--
      by[status]++
      node.counted = status
      follow?.(node)
    }
    const serving = servingWith(node, fresh)
    if (serving === node.serving) return
    node.serving = serving
    if (serving) stopped.delete(node)
    else stopped.add(node)
  }
  /** Counts those out that have been silent too long by now. */
  const expire = (now: number): void => {
    for (const node of recentlySeen) {
      if (isFresh(node, now)) return
      recentlySeen.delete(node)
      count(node)
    }
  }

  return {
    count,
    /** Follows changes of what nodes count as; null: no more. */
    onStatus(to: ((node: Node) => void) | null): void {
      follow = to
    },
    statusOf: (n: Node, now: number): NodeStatus => statusWith(n, isFresh(n, now)),
    /** Online, full or not: it would serve a task sooner or later. */
    isServing: (n: Node, now: number): boolean => servingWith(n, isFresh(n, now)),

    /** A sign of life; call `count` when more than that has changed. Only polling nodes count by it. */
    markSeen(node: Node) {
      const before = recentlySeen.delete(node)
      if (node.row.transport !== 'rest') return
      recentlySeen.add(node)
      if (!before && node.counted !== null) count(node)
    },

    /** A node that was gone is back, and has been silent meanwhile: it takes its place in the order. */
    reinsertBySeen(node: Node) {
      if (node.row.transport !== 'rest') return
      const inOrder = [...recentlySeen.add(node)].sort((a, b) => a.seen - b.seen)
      recentlySeen.clear()
      for (const n of inOrder) recentlySeen.add(n)
    },

    /** The node is gone. */
    drop(node: Node) {
      recentlySeen.delete(node)
      stopped.delete(node)
      if (node.counted !== null) by[node.counted]--
      node.counted = null
      node.serving = false
      follow?.(node)
    },

    /** Nodes that served when this was asked last, and do not now. */
    takeStopped(now: number): Node[] {
      expire(now)
      const taken = [...stopped]
      stopped.clear()
      return taken
    },

    counts(now: number): NodeCounts {
      expire(now)
      return {
        total_nodes: by.online + by.offline + by.busy + by.maintenance,
        active_nodes: by.online + by.busy,
        online_nodes: by.online,
        busy_nodes: by.busy,
        offline_nodes: by.offline,
        maintenance_nodes: by.maintenance,
      }
    },
  }
}
