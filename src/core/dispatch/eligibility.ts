import type { Lane } from '../../rules/models.js'
import { choose, failurePauseMs, rejectionPauseMs, scoreNode } from '../../rules/scoring.js'
import { isFailure, nodesToAvoid, type PastAttempt } from '../../store/attempts.js'
import type { NewTask, ReadyTask } from '../../store/tasks.js'
import type { Probation } from '../access/probation.js'
import { understands } from '../../wire/params.js'
import type { Context } from '../context.js'
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
    return ({ row, held }) =>
      scoreNode(
        {
          prior: row.performance_score,
          successes: row.successes,
          failures: row.failures,
          meanSeconds: row.mean_seconds,
          held: held.size,
          slots: row.max_concurrent_tasks,
        },
        poolSeconds,
      )
  }

  const hasFree = (lane: Lane): boolean => (registry.freeIn(lane)?.size ?? 0) > 0
  const freeLanesOf = (task: Pick<ReadyTask, 'model_name' | 'model_type'>): Lane[] =>
    ctx.models.lanesOfTask(task.model_name, task.model_type).filter(hasFree)
  const draw = (lanes: readonly Lane[], n: number): readonly Node[] => {
    const drawn = lanes.map((lane) => registry.freeIn(lane)?.draw(n, ctx.random) ?? [])
    return drawn.length === 1 ? (drawn[0] ?? []) : [...new Set(drawn.flat())] // a node may serve both lanes of a task
  }

  return {
    mayGet,
    hasFree,

    /** The best free node for a task: all are compared while they are few, else a random draw of MAX_COMPARED. */
    nodeFor(task: ReadyTask): Node | undefined {
      const lanes = freeLanesOf(task)
      if (lanes.length === 0) return undefined
      if (task.attempt === 0 && isOpen(task)) return choose(draw(lanes, MAX_COMPARED), scoreNow(), ctx.random)
      const eligible = mayGet(task)
      // A task with a history may be barred from all that were drawn, and not from all.
      return (
        choose(draw(lanes, MAX_COMPARED).filter(eligible), scoreNow(), ctx.random) ??
        choose(draw(lanes, MAX_COMPARED_AGAIN).filter(eligible), scoreNow(), ctx.random)
      )
    },

    /**
     * The node for a task that was just taken in; undefined when none is free, or others wait before it.
     * @param blocked lanes in which one of the same turn waits: none that is paid less goes before it
     */
    nodeForNew(task: NewTask, blocked: ReadonlySet<Lane>): Node | undefined {
      const lanes = freeLanesOf(task)
      if (lanes.length === 0 || lanes.some((lane) => blocked.has(lane)) || !lanes.every(pending.isEmpty))
        return undefined
      if (isOpen(task)) return choose(draw(lanes, MAX_COMPARED), scoreNow(), ctx.random)
      const eligible = (node: Node): boolean => isOpenTo(node, task)
      return (
        choose(draw(lanes, MAX_COMPARED).filter(eligible), scoreNow(), ctx.random) ??
        choose(draw(lanes, MAX_COMPARED_AGAIN).filter(eligible), scoreNow(), ctx.random)
      )
    },

    /** About how many tasks can be placed in a lane. */
    slotsIn: (lane: Lane): number =>
      (registry.freeIn(lane)?.draw(MAX_COMPARED, ctx.random) ?? []).reduce(
        (n, { row, held }) => n + row.max_concurrent_tasks - held.size,
        0,
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
