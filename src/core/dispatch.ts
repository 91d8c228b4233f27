import { toSeconds } from '../lib/clock.js'
import type { Node } from '../nodes/registry.js'
import { nodesToAvoid } from '../store/attempts.js'
import { LOOKS, type ReadyTask } from '../store/tasks.js'
import { choose, rejectionPause, scoreNode } from '../tasks/choice.js'
import type { Lane } from '../tasks/models.js'
import type { Context } from './context.js'
import type { Ledger } from './ledger.js'

/** How many free nodes are compared for one task; among more, as many are drawn at random. */
const COMPARED = 16

export type Dispatch = ReturnType<typeof createDispatch>

/** Matches ready tasks with free slots. Pushing and polling share it; only the last step differs. */
export function createDispatch(ctx: Context, ledger: Ledger) {
  const { store, registry } = ctx
  /** When a node that rejected a task may be offered it again, by node; looked at when the time has come. */
  const retries = new Map<Node, number>()

  /** Which nodes may get the task: not one that lost or failed it while another serves it, not one that just rejected it. */
  const eligibility = (task: ReadyTask): ((node: Node) => boolean) => {
    if (task.attempt === 0) return () => true
    const past = store.attempts.ofTask(task.task_id)
    const avoid = nodesToAvoid(past)
    const anotherServes = avoid.size > 0 && registry.anotherServes(task, avoid, ctx.now)
    return (node) => {
      const id = node.row.node_id
      if (avoid.has(id) && anotherServes) return false
      const rejections = past.filter((a) => a.node_id === id && a.end === 'rejected')
      const until = (rejections.at(-1)?.ended_ms ?? 0) + rejectionPause(rejections.length)
      if (rejections.length === 0 || until <= ctx.now) return true
      retries.set(node, Math.min(until, retries.get(node) ?? Infinity))
      ctx.wake(until)
      return false
    }
  }

  /** Ready tasks of some lanes, best first, each once; lanes that `wanted` no longer wants are skipped. */
  function* ready(lanes: readonly Lane[], wanted: (lane: Lane) => boolean): Generator<ReadyTask> {
    const seen = new Set<string>()
    const queues = lanes.map((lane) => ({ lane, look: 0, at: 0, tasks: store.tasks.ready(lane, 0) }))
    const head = (q: (typeof queues)[number]): ReadyTask | undefined => {
      for (;;) {
        if (!wanted(q.lane)) return undefined
        while (q.at < q.tasks.length && seen.has(q.tasks[q.at]?.task_id ?? '')) q.at++
        const task = q.tasks[q.at]
        if (task !== undefined) return task
        if (q.tasks.length < (LOOKS[q.look] ?? 0) || q.look + 1 === LOOKS.length) return undefined
        q.look++
        q.at = 0
        q.tasks = store.tasks.ready(q.lane, q.look)
      }
    }
    for (;;) {
      let best: ReadyTask | undefined
      for (const q of queues) {
        const task = head(q)
        if (task === undefined) continue
        if (best === undefined || task.queue_rank > best.queue_rank || (task.queue_rank === best.queue_rank && task.seq < best.seq)) best = task
      }
      if (best === undefined) return
      seen.add(best.task_id)
      yield best
    }
  }

  const score = (node: Node): number =>
    scoreNode(
      {
        prior: node.row.performance_score,
        successes: node.row.successes,
        failures: node.row.failures,
        meanSeconds: node.row.mean_seconds,
        held: node.held.size,
        slots: node.row.max_concurrent_tasks,
      },
      ctx.durations.mean(ctx.now) / 1000,
    )

  /** The best free node for a task: all are compared while they are few, else a random draw of COMPARED. */
  const nodeFor = (task: ReadyTask): Node | undefined => {
    const mayGet = eligibility(task)
    const pools = ctx.models.lanesOfTask(task.model_name, task.model_type).flatMap((lane) => registry.freeIn(lane) ?? [])
    const drawn = new Set(pools.flatMap((pool) => pool.draw(COMPARED, ctx.random)))
    const chosen = choose([...drawn].filter(mayGet), score, ctx.random)
    if (chosen !== undefined || task.attempt === 0) return chosen
    // A task with a history may be barred from all that were drawn, and not from all.
    return choose(pools.flatMap((pool) => pool.values().filter(mayGet)), score, ctx.random)
  }

  const push = (task: ReadyTask, node: Node): void => {
    const session = node.session
    if (session === null) throw new Error(`node ${node.row.node_id} is in a pool of free nodes without a session`)
    const { task: row, attempt } = ledger.assign(task, node, false)
    offers.push({ task_id: row.task_id, attempt: attempt.attempt, at: ctx.now + ctx.options.acceptTimeout })
    ctx.wake(ctx.now + ctx.options.acceptTimeout)
    ctx.send(session.id, {
      type: 'task.assign',
      task_id: row.task_id,
      attempt: attempt.attempt,
      model_name: row.model_name,
      model_type: row.model_type,
      user_input: row.user_input,
      context: row.context,
      max_infer_time: row.max_infer_time,
      infer_fee: row.infer_fee,
      lease_expires_at: toSeconds(ctx.wall + (attempt.lease_ms - ctx.now)),
      signed_tx: row.signed_tx,
      stream: false,
    })
  }

  /** Pushed attempts in the order in which they must be accepted; those that were are skipped when their time comes. */
  const offers: { task_id: string; attempt: number; at: number }[] = []

  return {
    offers,
    retries,

    /** Fills every free slot of the lanes in which something has changed. */
    run() {
      if (registry.dirtyLanes.size === 0) return
      const hasFree = (lane: Lane): boolean => (registry.freeIn(lane)?.size ?? 0) > 0
      const lanes = ctx.stopping ? [] : [...registry.dirtyLanes].filter(hasFree)
      if (lanes.length > 0) {
        for (const task of ready(lanes, hasFree)) {
          const node = nodeFor(task)
          if (node !== undefined) push(task, node)
        }
      }
      registry.dirtyLanes.clear()
    },

    /** The best ready task for a node that polls, assigned to it; null when there is none. */
    take(node: Node) {
      for (const task of ready(node.lanes, () => true)) {
        if (eligibility(task)(node)) return ledger.assign(task, node, true)
      }
      return null
    },
  }
}
