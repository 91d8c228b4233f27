import { modelKey, type Lane, type ModelTable } from '../../rules/models.js'
import { Pool } from './free-pool.js'
import { createModelLists } from './model-lists.js'
import { inCooldown, type Node } from './node.js'

/**
 * A node that has so much unaccepted (UTF-16 units) gets nothing more until it accepts: to accept is to have read, so a slow
 * reader costs no more memory than this and its largest task.
 */
const MAX_OFFERED_LENGTH = 8 * 1024 * 1024

const NAME_PREFIX = 'name:'

interface Members {
  all: Set<Node>
  /** Nodes in session with a free slot, that a task can be pushed to now. */
  free: Pool<Node>
  /** Those without a free slot that may hold more tasks than they have slots. */
  room: Pool<Node>
}

/** Where a task that is pushed to the node now would be: in a free slot, or beyond the slots; null: nothing can be pushed to it. */
const placesOf = (n: Node): 'free' | 'room' | null => {
  const isOpen =
    n.session !== null &&
    !n.session.draining &&
    !n.session.stalled &&
    !inCooldown(n) &&
    n.row.drained === 0 &&
    n.offeredLength < MAX_OFFERED_LENGTH &&
    n.row.status === 'online'
  if (!isOpen) return null
  const beyond = n.held.size - n.row.max_concurrent_tasks
  return beyond < 0 ? 'free' : beyond < n.prefetch ? 'room' : null
}
/** How many tasks can be pushed to the node now. */
const countOf = (n: Node, places: 'free' | 'room' | null): number =>
  places === null ? 0 : n.row.max_concurrent_tasks + n.prefetch - n.held.size

export type Lanes = ReturnType<typeof createLanes>

/** Which nodes serve which lanes, and which of them are free: an index, which follows the state of the nodes. */
export function createLanes(models: ModelTable) {
  const modelsOf = createModelLists(models)
  const lanes = new Map<Lane, Members>()
  /** Lanes in which something has changed: dispatch scans these only. */
  const dirty = new Set<Lane>()
  /** How many tasks can be pushed to all nodes now. */
  let places = 0
  const countPlaces = (node: Node, count: number): void => {
    places += count - node.places
    node.places = count
  }

  const members = (lane: Lane): Members => {
    let found = lanes.get(lane)
    if (found === undefined) {
      found = { all: new Set(), free: new Pool(), room: new Pool() }
      lanes.set(lane, found)
    }
    return found
  }
  const leave = (node: Node): void => {
    countPlaces(node, 0)
    for (const lane of node.lanes) {
      const m = lanes.get(lane)
      m?.all.delete(node)
      m?.free.delete(node)
      m?.room.delete(node)
      if (m?.all.size === 0) lanes.delete(lane)
    }
  }

  return {
    dirty,
    /** How many tasks can be pushed to nodes now, whatever they serve. */
    places: (): number => places,
    freeIn: (lane: Lane): Pool<Node> | undefined => lanes.get(lane)?.free,
    roomIn: (lane: Lane): Pool<Node> | undefined => lanes.get(lane)?.room,
    /** Nodes that serve the lane, online or not. */
    servedBy: (lane: Lane): ReadonlySet<Node> | undefined => lanes.get(lane)?.all,
    /** Whether a node serves any of these lanes, online or not. */
    isServed: (of: readonly Lane[]): boolean => of.some((lane) => lanes.has(lane)),
    /** The names of models that nodes serve, in the form they are compared in. There may be millions: do not take them all. */
    *servedNames(): Iterable<string> {
      for (const lane of lanes.keys()) if (lane.startsWith(NAME_PREFIX)) yield lane.slice(NAME_PREFIX.length)
    },
    /** A served name as a node that serves it writes it. */
    spellingOf(key: string): string {
      const [node] = lanes.get(`${NAME_PREFIX}${key}`)?.all ?? []
      return node?.models.find((name) => modelKey(name) === key) ?? key
    },
    /** What the node lists, and the lanes that follow from it. */
    listOf: (node: Node) => modelsOf(node.row.supported_models),

    join(node: Node) {
      for (const lane of node.lanes) members(lane).all.add(node)
    },
    leave,
    /** Follows whether the node is free, or has room beyond its slots. */
    updateFree(node: Node) {
      const where = placesOf(node)
      countPlaces(node, countOf(node, where))
      for (const lane of node.lanes) {
        const m = members(lane)
        if (where !== 'free') m.free.delete(node)
        if (where !== 'room' && m.room.size > 0) m.room.delete(node)
        if (where === null || m[where].has(node)) continue
        m[where].add(node)
        dirty.add(lane)
      }
    },
    mark(node: Node) {
      for (const lane of node.lanes) dirty.add(lane)
    },
  }
}
