import { toSeconds } from '../../lib/clock.js'
import type { Node, Session } from '../nodes/registry.js'
import { nodesToAvoid, type OpenAttempt } from '../../store/attempts.js'
import type { TaskRow } from '../../store/schema.js'
import { textLength, type NewTask, type Place, type ReadyTask } from '../../store/tasks.js'
import { choose, rejectionPauseMs, scoreNode } from '../../rules/scoring.js'
import type { Lane } from '../../rules/models.js'
import type { Context } from '../context.js'
import { isStoreFault } from '../../store/faults.js'
import { readLane, takeBest, type LaneReader } from './lane-reader.js'
import type { Submissions } from '../tasks/submissions.js'
import type { Attempts } from '../tasks/attempts.js'
import type { Pending } from '../tasks/pending.js'

/** How many free nodes are compared for one task; among more, as many are drawn at random. */
const COMPARED = 16
/** How many when none of those may have it. */
const COMPARED_AGAIN = 256
/** How many tasks one look goes over; what is behind them is looked at in a turn of its own. */
const SCAN_LIMIT = 128
/** How long until then when the look placed nothing, ms: tasks that nobody may have now must not keep the loop busy. */
const RESCAN_AFTER_MS = 20

/** How many contradictory tasks are passed over. */
const MAX_QUARANTINED = 1000

/** A task could not be assigned, through no fault of the store: the turn is taken back, and goes on without it. */
export class UndispatchableTask extends Error {
  constructor(
    readonly taskId: string,
    override readonly cause: unknown,
  ) {
    super(cause instanceof Error ? cause.message : String(cause))
  }
}

/** A task that was just taken in could not be written, through no fault of the store. */
export class UnwritableTask extends Error {}

export type Dispatch = ReturnType<typeof createDispatch>

/** Matches ready tasks with free slots. Pushing and polling share it; only the last step differs. */
export function createDispatch(
  ctx: Context,
  { queue, intake, ledger }: { queue: Pending; intake: Submissions; ledger: Attempts },
) {
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
      const until = (rejections.at(-1)?.ended_ms ?? 0) + rejectionPauseMs(rejections.length)
      if (rejections.length === 0 || until <= ctx.now) return true
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

  const freeFor = (task: Pick<ReadyTask, 'model_name' | 'model_type'>): Lane[] =>
    ctx.models.lanesOfTask(task.model_name, task.model_type).filter(hasFree)
  const draw = (lanes: readonly Lane[], n: number): readonly Node[] => {
    const drawn = lanes.map((lane) => registry.freeIn(lane)?.draw(n, ctx.random) ?? [])
    return drawn.length === 1 ? (drawn[0] ?? []) : [...new Set(drawn.flat())] // a node may serve both lanes of a task
  }

  /** The best free node for a task: all are compared while they are few, else a random draw of COMPARED. */
  const nodeFor = (task: ReadyTask): Node | undefined => {
    const lanes = freeFor(task)
    if (lanes.length === 0) return undefined
    if (task.attempt === 0) return choose(draw(lanes, COMPARED), scoreNow(), ctx.random)
    const mayGet = eligibility(task)
    // A task with a history may be barred from all that were drawn, and not from all.
    return (
      choose(draw(lanes, COMPARED).filter(mayGet), scoreNow(), ctx.random) ??
      choose(draw(lanes, COMPARED_AGAIN).filter(mayGet), scoreNow(), ctx.random)
    )
  }

  /** The node for a task that was just taken in; undefined when none is free, or others wait before it. */
  const nodeForNew = (task: NewTask, taken: ReadonlySet<Lane>): Node | undefined => {
    const lanes = freeFor(task)
    if (lanes.length === 0 || lanes.some((lane) => taken.has(lane)) || !lanes.every(queue.isEmpty)) return undefined
    return choose(draw(lanes, COMPARED), scoreNow(), ctx.random)
  }

  const sessionOf = (node: Node): Session => {
    if (node.session === null) throw new Error(`node ${node.row.node_id} is in a pool of free nodes without a session`)
    return node.session
  }
  const push = (row: TaskRow | NewTask, attempt: OpenAttempt, node: Node, session: Session): void => {
    offers.push({ task_id: row.task_id, attempt: attempt.attempt, at: ctx.now + ctx.options.acceptTimeout })
    ctx.undo.push(() => offers.pop())
    registry.offer(node, row.task_id, textLength(row))
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
      stream: ctx.watches.streams(row.task_id, attempt.attempt),
    })
  }

  /** Writes a task that was just taken in as in progress, and pushes it. False when no node is free for it, or others wait before it. */
  const placeNew = (task: NewTask, taken: Set<Lane>): boolean => {
    const node = ctx.stopping ? undefined : nodeForNew(task, taken)
    if (node === undefined) {
      for (const lane of ctx.models.lanesOfTask(task.model_name, task.model_type)) taken.add(lane)
      return false
    }
    const session = sessionOf(node)
    push(task, ledger.assignNew(task, node), node, session)
    return true
  }

  /** Writes what the turn has taken in: first what has a place, the best paid before the others, then what has to wait. */
  const writeNew = (): void => {
    const tasks = intake.drain()
    const byRank = tasks.some((t) => t.queue_rank !== tasks[0]?.queue_rank)
      ? tasks.toSorted((a, b) => b.queue_rank - a.queue_rank)
      : tasks
    const waits = new Set<NewTask>()
    /** Lanes in which one waits: none that is paid less goes before it. */
    const taken = new Set<Lane>()
    try {
      for (const task of byRank) if (!placeNew(task, taken)) waits.add(task)
      // In the order of their coming, which is their age.
      for (const task of tasks) if (waits.has(task)) intake.insert(task)
    } catch (error) {
      throw isStoreFault(error) ? error : new UnwritableTask('a task could not be written', { cause: error })
    }
  }

  /** Pushed attempts in the order in which they must be accepted; those that were are skipped when their time comes. */
  const offers: { task_id: string; attempt: number; at: number }[] = []

  /** Lanes that a look did not reach the end of: where it goes on, and whether the lane has changed since it began. */
  const unfinished = new Map<Lane, { place: Place | null; again: boolean }>()
  /** The same for nodes that poll. */
  const pollPlaces = new WeakMap<Node, Map<Lane, Place>>()

  /** Tasks with a row that contradicts itself: they are not looked at again before the next start. */
  const quarantined = new Set<string>()

  const hasFree = (lane: Lane): boolean => (registry.freeIn(lane)?.size ?? 0) > 0

  /** About how many tasks can be placed in a lane. */
  const slotsIn = (lane: Lane): number =>
    (registry.freeIn(lane)?.draw(COMPARED, ctx.random) ?? []).reduce(
      (n, { row, held }) => n + row.max_concurrent_tasks - held.size,
      0,
    )

  /** Goes over at most LOOK_AT tasks and pushes what can be pushed. @returns whether anything was */
  const scan = (readers: readonly LaneReader[]): boolean => {
    const seen = new Set<string>()
    let placed = false
    for (let i = 0; i < SCAN_LIMIT; i++) {
      const task = takeBest(
        readers.filter((r) => hasFree(r.lane)),
        seen,
      )
      if (task === undefined) break
      if (quarantined.has(task.task_id)) continue
      try {
        const node = nodeFor(task)
        if (node === undefined) continue
        const session = sessionOf(node)
        const assigned = ledger.assign(task, node, false)
        push(assigned.task, assigned.attempt, node, session)
        placed = true
      } catch (error) {
        if (isStoreFault(error)) throw error
        if (quarantined.size < MAX_QUARANTINED) quarantined.add(task.task_id)
        throw new UndispatchableTask(task.task_id, error)
      }
    }
    return placed
  }

  return {
    offers,
    retries,

    /** Writes what the turn has taken in, and fills every free slot of the lanes in which something has changed; a long lane over several turns. */
    run() {
      writeNew()
      if (registry.dirtyLanes.size === 0 && unfinished.size === 0) return
      if (ctx.stopping) {
        registry.dirtyLanes.clear()
        unfinished.clear()
        return
      }
      const goingOn = [...unfinished]
      const fresh = [...registry.dirtyLanes]
        .filter(hasFree)
        .map((lane) => readLane(store.tasks, lane, null, slotsIn(lane)))
      registry.dirtyLanes.clear()
      let placed = scan(fresh)
      for (const { lane, peek, place } of fresh.map((r) => ({ lane: r.lane, peek: r.peek(), place: r.place }))) {
        // A lane that others left no look for goes on from its top.
        if (peek === undefined || !hasFree(lane)) continue
        const before = unfinished.get(lane)
        // The look that goes on is let to its end first, or what is far behind would never be reached.
        if (before === undefined) unfinished.set(lane, { place, again: false })
        else before.again = true
      }
      for (const [lane, { place, again }] of goingOn) {
        unfinished.delete(lane)
        if (!hasFree(lane)) continue // a slot that becomes free begins at the top
        const reader = readLane(store.tasks, lane, place, slotsIn(lane))
        placed = scan([reader]) || placed
        if (reader.peek() !== undefined && hasFree(lane)) unfinished.set(lane, { place: reader.place ?? place, again })
        else if (again) registry.dirtyLanes.add(lane)
      }
      if (unfinished.size > 0 || registry.dirtyLanes.size > 0) ctx.wake(placed ? ctx.now : ctx.now + RESCAN_AFTER_MS)
    },

    /** The best ready task for a node that polls, assigned to it; null when there is none. A long lane takes several polls. */
    take(node: Node) {
      const places = pollPlaces.get(node)
      pollPlaces.delete(node)
      for (const from of [null, places]) {
        if (from === undefined) continue
        const readers = node.lanes.map((lane) => readLane(store.tasks, lane, from?.get(lane) ?? null, 1))
        const seen = new Set<string>()
        for (let i = 0; i < SCAN_LIMIT; i++) {
          const task = takeBest(readers, seen)
          if (task === undefined) break
          if (eligibility(task)(node)) return ledger.assign(task, node, true)
        }
        const behind = readers.flatMap((r): [Lane, Place][] =>
          r.peek() === undefined || r.place === null ? [] : [[r.lane, r.place]],
        )
        if (behind.length > 0) pollPlaces.set(node, new Map(behind))
        else pollPlaces.delete(node)
      }
      return null
    },
  }
}
