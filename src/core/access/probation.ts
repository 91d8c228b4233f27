import { toSeconds } from '../../lib/clock.js'
import { modelKey } from '../../rules/models.js'
import { levelOf, PROBATION, slotsAt } from '../../rules/probation.js'
import type { NodeKeyRow } from '../../store/access-schema.js'
import type { ReadyTask } from '../../store/tasks.js'
import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'

/** How often it is looked whether a node has come further, ms. */
const LOOK_EVERY_MS = 10_000
/** The newest tasks of a model that were given away, of which nodes in probation may have their share. */
const NEWEST = 50
/** Models whose newest tasks are remembered. */
const MAX_MODELS = 1000

type Offered = Pick<ReadyTask, 'model_name' | 'model_type' | 'infer_fee'>

export type Probation = ReturnType<typeof createProbation>

/**
 * New nodes have few slots, no dear tasks and a small share until they have shown what they do. It holds for nodes whose key was let
 * in, that is known in `node_keys`; for who was there before, and where every key is let in, it does not.
 */
export function createProbation(ctx: Context) {
  const { registry, credentials, options, store } = ctx
  const { probationMaxFee } = options.access
  /** Nodes that have not come to their full slots, and how many they asked for. */
  const growing = new Map<Node, { asked: number; level: number }>()
  /** Those of them that are in probation. */
  const ids = new Set<string>()
  /** Keys with results that are not written yet. */
  const unwritten = new Map<string, NodeKeyRow>()
  /** Of the newest tasks of each model, whether a node in probation got it. */
  const given = new Map<string, boolean[]>()
  let nextLook = 0

  const recordOf = (key: string): NodeKeyRow | undefined => unwritten.get(key) ?? credentials.key(key)
  const levelNow = (key: string): number | null => {
    const record = ctx.access.isOn() ? recordOf(key) : undefined
    return record === undefined ? null : levelOf(record, toSeconds(ctx.wall))
  }
  const forget = (node: Node): void => {
    growing.delete(node)
    ids.delete(node.row.node_id)
  }
  const setLevel = (node: Node, asked: number, level: number): void => {
    growing.set(node, { asked, level })
    if (level === 0) ids.add(node.row.node_id)
    else ids.delete(node.row.node_id)
  }
  const setSlots = (node: Node, slots: number): void => {
    if (node.row.max_concurrent_tasks === slots) return
    registry.save({ ...node.row, max_concurrent_tasks: slots }, node.seen)
    registry.markLanes(node)
  }
  const isOverShare = (task: Offered): boolean => {
    const newest = given.get(modelKey(task.model_name)) ?? []
    const share = (newest.filter(Boolean).length + 1) / (newest.length + 1)
    return share > PROBATION.share && registry.anotherServes(task, ids, ctx.now)
  }

  return {
    /** How many tasks a node may have at once. @param key normalized */
    slotsFor: (key: string, asked: number): number => {
      const level = levelNow(key)
      return level === null ? asked : Math.min(asked, slotsAt(level))
    },

    /** A node has come, or come back. @param asked the slots it asked for */
    joined(node: Node, asked: number): void {
      const level = levelNow(node.row.public_key)
      if (level === null) return forget(node)
      setLevel(node, asked, level)
    },

    /** Whether any node is in probation: else nobody need be asked. */
    isEmpty: (): boolean => ids.size === 0,
    has: (node: Node): boolean => ids.has(node.row.node_id),

    /** Whether a node may get a task. */
    allows(node: Node, task: Offered): boolean {
      if (!ids.has(node.row.node_id)) return true
      return task.infer_fee <= probationMaxFee && !isOverShare(task)
    },

    /** A task was given to a node. */
    assigned({ model_name }: Pick<Offered, 'model_name'>, node: Node): void {
      if (ids.size === 0) return
      const model = modelKey(model_name)
      const newest = given.get(model) ?? []
      if (given.size >= MAX_MODELS && !given.has(model)) given.clear()
      newest.push(ids.has(node.row.node_id))
      if (newest.length > NEWEST) newest.shift()
      given.set(model, newest)
    },

    /** A node has brought a result: a figure, counted after the commit. */
    succeeded(node: Node): void {
      if (!growing.has(node)) return
      const key = node.row.public_key
      ctx.afterCommit.push(() => {
        const record = recordOf(key)
        if (record === undefined) return
        unwritten.set(key, {
          ...record,
          good_results: record.good_results + 1,
          good_since: record.good_since ?? toSeconds(ctx.wall),
        })
      })
    },

    /** A node has to show anew what it does. */
    again(node: Node): void {
      const key = node.row.public_key
      const now = toSeconds(ctx.wall)
      const record = recordOf(key) ?? newRecord(key, now)
      unwritten.set(key, { ...record, good_results: 0, good_since: null, changed_at: now })
      setLevel(node, growing.get(node)?.asked ?? node.row.max_concurrent_tasks, 0)
      setSlots(node, Math.min(node.row.max_concurrent_tasks, PROBATION.slots))
    },

    /** A node gets one task at a time, until its next hello. */
    oneSlot(node: Node): void {
      forget(node)
      setSlots(node, 1)
    },

    /** Writes what nodes have shown, and gives slots to those that have come further. */
    tick(): void {
      if (ctx.now < nextLook) return
      nextLook = ctx.now + LOOK_EVERY_MS
      for (const row of unwritten.values()) {
        const { good_results, good_since } = row
        const saved = { ...(credentials.key(row.public_key) ?? row), good_results, good_since }
        store.access.nodeKeys.save(saved)
        credentials.setKey(saved)
      }
      ctx.afterCommit.push(() => unwritten.clear())
      for (const [node, { asked, level }] of growing) {
        const now = node.registered ? levelNow(node.row.public_key) : null
        if (now === null) forget(node)
        else if (now !== level) {
          setLevel(node, asked, now)
          setSlots(node, Math.min(asked, credentials.key(node.row.public_key)?.slots_max ?? Infinity, slotsAt(now)))
        }
      }
    },
  }
}

const newRecord = (public_key: string, now: number): NodeKeyRow => ({
  public_key,
  state: 'enrolled',
  node_id: null,
  invited_by: 'service',
  slots_max: null,
  first_seen: now,
  changed_at: now,
  changed_by: 'service',
  reason: null,
  replaced_by: null,
  good_results: 0,
  good_since: null,
})
