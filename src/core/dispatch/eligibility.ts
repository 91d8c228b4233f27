import type { Lane } from '../../rules/models.js'
import { choose, failurePauseMs, rejectionPauseMs, scoreNode } from '../../rules/scoring.js'
import { isFailure, nodesToAvoid, type PastAttempt } from '../../store/attempts.js'
import type { NewTask, ReadyTask } from '../../store/tasks.js'
import type { Probation } from '../access/probation.js'
import { understands } from '../../wire/params.js'
import type { Context } from '../context.js'
import type { Pool } from '../nodes/free-pool.js'
import type { Node } from '../nodes/node.js'
import type { Cover } from '../settlement/cover.js'
import type { Pending } from '../tasks/pending.js'

/** How many free nodes are compared for one task; among more, as many are drawn at random. */
const MAX_COMPARED = 16
/** How many when none of those may have it. */
const MAX_COMPARED_AGAIN = 256

export interface EligibilityParts {
  pending: Pending
  probation: Probation
  cover: Cover
}

export type Eligibility = ReturnType<typeof createEligibility>

/** Which node gets which task. */
export function createEligibility(ctx: Context, { pending, probation, cover }: EligibilityParts) {
  const { store, registry, undo } = ctx
  /** When a node that rejected or failed a task may be offered it again, by node; service clock, ms. */
  const retries = new Map<Node, number>()

  /** Whether every node may have a task that is new. */
  const isOpen = (task: Pick<ReadyTask, 'needs'>): boolean => task.needs === 0 && probation.isEmpty() && cover.isOpen()
  const isOpenTo = (node: Node, task: ReadyTask | NewTask): boolean =>
    understands(node.features, task.needs) && probation.allows(node, task) && cover.allows(node, task)

  /** Until when a node is not offered a task that it has rejected, service clock, ms. @param own its attempts of the task */
  const rejectedUntil = (own: readonly PastAttempt[]): number => {
    const rejections = own.filter((a) => a.end === 'rejected')
    const last = rejections.at(-1)
    return last === undefined ? 0 : (last.ended_ms ?? 0) + rejectionPauseMs(rejections.length)
  }
  /** The same of one that it has lost or failed. The only node that there is gets it at once when that was not its own fault. */
  const failedUntil = (task: ReadyTask, own: readonly PastAttempt[]): number => {
    const failures = own.filter((a) => a.attempt > task.retried_after && isFailure(a))
    const last = failures.at(-1)
    if (last === undefined) return 0
    if (last.fault !== 'node' && !registry.anotherServes(task, new Set([last.node_id]), ctx.now)) return 0
    return (last.ended_ms ?? 0) + failurePauseMs(failures.length)
  }

  /** Which nodes may get the task: not one that lost or failed it while another serves it, not one that just did, or rejected it. */
  const mayGet = (task: ReadyTask): ((node: Node) => boolean) => {
    const allows = (node: Node): boolean => isOpenTo(node, task)
    if (task.attempt === 0) return isOpen(task) ? () => true : allows
    const past = store.attempts.ofTask(task.task_id).filter((a) => registry.givenTo(a) !== undefined)
    const avoid = nodesToAvoid(past)
    const anotherServes = avoid.size > 0 && registry.anotherServes(task, avoid, ctx.now)
    return (node) => {
      if (!allows(node)) return false
      const id = node.row.node_id
      if (avoid.has(id) && anotherServes) return false
      const own = past.filter((a) => a.node_id === id)
      const until = Math.max(rejectedUntil(own), failedUntil(task, own))
      if (until <= ctx.now) return true
      undo.keepEntry(retries, node)
      retries.set(node, Math.min(until, retries.get(node) ?? Infinity))
      ctx.wake(until)
      return false
    }
  }

  const scoreNow = (): ((node: Node) => number) => {
    const poolSeconds = ctx.durations.mean(ctx.now) / 1000
    return ({ row, held, prefetch }) =>
      scoreNode(
        {
          prior: row.performance_score,
          successes: row.successes,
          failures: row.failures,
          meanSeconds: row.mean_seconds,
          held: held.size,
          slots: held.size < row.max_concurrent_tasks ? row.max_concurrent_tasks : row.max_concurrent_tasks + prefetch,
        },
        poolSeconds,
      )
  }

  const hasFree = (lane: Lane): boolean => (registry.freeIn(lane)?.size ?? 0) > 0
  const hasRoom = (lane: Lane): boolean => (registry.roomIn(lane)?.size ?? 0) > 0
  const hasPlace = (lane: Lane): boolean => hasFree(lane) || hasRoom(lane)
  const lanesOf = (task: Pick<ReadyTask, 'model_name' | 'model_type'>): Lane[] =>
    ctx.models.lanesOfTask(task.model_name, task.model_type)
  const draw = (pools: readonly (Pool<Node> | undefined)[], n: number): readonly Node[] => {
    const drawn = pools.flatMap((pool) => (pool === undefined || pool.size === 0 ? [] : [pool.draw(n, ctx.random)]))
    return drawn.length === 1 ? (drawn[0] ?? []) : [...new Set(drawn.flat())] // a node may serve both lanes of a task
  }
  /** Of the nodes of some pools, as many as are compared. */
  const sum = (pools: readonly (Pool<Node> | undefined)[], of: (node: Node) => number): number =>
    draw(pools, MAX_COMPARED).reduce((n, node) => n + of(node), 0)
  /** The best node of some pools. @param eligible null: every one is */
  const best = (
    pools: readonly (Pool<Node> | undefined)[],
    eligible: ((node: Node) => boolean) | null,
  ): Node | undefined => {
    const few = draw(pools, MAX_COMPARED)
    if (few.length === 0) return undefined
    if (eligible === null) return choose(few, scoreNow(), ctx.random)
    // A task with a history may be barred from all that were drawn, and not from all.
    return (
      choose(few.filter(eligible), scoreNow(), ctx.random) ??
      choose(draw(pools, MAX_COMPARED_AGAIN).filter(eligible), scoreNow(), ctx.random)
    )
  }
  /** One with a free slot; else one that may hold it until it has one. */
  const freeOrRoom = (lanes: readonly Lane[], eligible: ((node: Node) => boolean) | null): Node | undefined =>
    best(lanes.map(registry.freeIn), eligible) ?? best(lanes.map(registry.roomIn), eligible)

  return {
    mayGet,
    hasFree,
    hasPlace,

    /** The best node for a task: all with a place are compared while they are few, else a random draw of MAX_COMPARED. */
    nodeFor(task: ReadyTask): Node | undefined {
      const lanes = lanesOf(task)
      if (!lanes.some(hasPlace)) return undefined
      return freeOrRoom(lanes, task.attempt === 0 && isOpen(task) ? null : mayGet(task))
    },
    /** Whether a node with a free slot may have a task that waits at another. */
    hasFreeNodeFor: (task: ReadyTask): boolean =>
      lanesOf(task).some(hasFree) && best(lanesOf(task).map(registry.freeIn), mayGet(task)) !== undefined,

    /**
     * The node for a task that was just taken in; undefined when none is free, or others wait before it.
     * @param blocked lanes in which one of the same turn waits: none that is paid less goes before it
     */
    nodeForNew(task: NewTask, blocked: ReadonlySet<Lane>): Node | undefined {
      const lanes = lanesOf(task).filter(hasPlace)
      if (lanes.length === 0 || lanes.some((lane) => blocked.has(lane)) || !lanes.every(pending.isEmpty))
        return undefined
      return freeOrRoom(lanes, isOpen(task) ? null : (node) => isOpenTo(node, task))
    },

    /** About how many slots of a lane are free. */
    freeSlotsIn: (lane: Lane): number =>
      sum([registry.freeIn(lane)], ({ row, held }) => row.max_concurrent_tasks - held.size),

    /** About how many tasks can be placed in a lane. */
    slotsIn: (lane: Lane): number =>
      sum(
        [registry.freeIn(lane), registry.roomIn(lane)],
        ({ row, held, prefetch }) => row.max_concurrent_tasks + prefetch - held.size,
      ),

    /** Lets nodes be offered again what they rejected or failed, when the time has come. */
    tick() {
      for (const [node, at] of retries) {
        if (at > ctx.now) {
          ctx.wake(at)
          continue
        }
        undo.keepEntry(retries, node)
        retries.delete(node)
        registry.markLanes(node)
      }
    },
  }
}
