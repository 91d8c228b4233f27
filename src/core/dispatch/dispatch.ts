import { toSeconds } from '../../lib/clock.js'
import type { Lane } from '../../rules/models.js'
import type { OpenAttempt } from '../../store/attempts.js'
import { isStoreFault } from '../../store/faults.js'
import { textLength, type NewTask, type Place, type ReadyTask } from '../../store/tasks.js'
import { readParams } from '../../wire/params.js'
import type { Context } from '../context.js'
import type { LiveSession, Node } from '../nodes/node.js'
import type { Attempts } from '../tasks/attempts.js'
import type { Submissions } from '../tasks/submissions.js'
import type { Eligibility } from './eligibility.js'
import { readLane, takeBest, type LaneReader } from './lane-reader.js'
import { createOffers } from './offers.js'
import { createRecalls } from './recalls.js'

/** How many tasks one scan goes over; what is behind them is scanned in a turn of its own. */
const SCAN_LIMIT = 128
/** How long until then when the scan placed nothing, ms: tasks that nobody may have now must not keep the loop busy. */
const RESCAN_AFTER_MS = 20

/** How often a turn looks again after it has taken tasks back; then the next one goes on. */
const MAX_ROUNDS = 4

/** How many contradictory tasks are passed over. */
const MAX_QUARANTINED = 1000

/** A task could not be assigned, through no fault of the store. It is quarantined: the next dispatch passes it over. */
export class UndispatchableTask extends Error {
  constructor(
    readonly taskId: string,
    override readonly cause: unknown,
  ) {
    super(cause instanceof Error ? cause.message : String(cause))
  }
}

export interface DispatchParts {
  submissions: Submissions
  attempts: Attempts
  eligibility: Eligibility
}

export type Dispatch = ReturnType<typeof createDispatch>

/**
 * Matches ready tasks with free slots. At the end of a turn:
 * 1. What the turn has taken in is placed at free nodes, where nothing waits before it; the rest is written as pending.
 * 2. Only lanes in which something has changed are scanned: a task came, a node became free, or one that may have it left.
 * 3. What waits at nodes beyond their slots is taken back where a free node, or a better task, would wait for it (recalls).
 * 4. A scan reads the ready tasks of its lanes, the best first (fee, then age), SCAN_LIMIT of them at most.
 * 5. For each task the best free node is chosen that may have it (eligibility): most tasks take the first step, one read row. Where no
 *    node is free, one that has asked for more than its slots.
 * 6. The attempt is written and held by the node, and `task.assign` is among what is sent after the commit.
 * 7. A lane that was not read to its end goes on in the next turn where it stopped; one that changed begins at its top again.
 * A poll does steps 4 to 6 for one node and one task; only the last step differs: the task is its answer.
 */
export function createDispatch(ctx: Context, { submissions, attempts, eligibility }: DispatchParts) {
  const { store, registry, undo } = ctx
  const { hasPlace, slotsIn } = eligibility
  const offers = createOffers(undo)

  /** Lanes whose end a scan did not reach: where it goes on, and whether the lane has changed since it began. */
  const unfinished = new Map<Lane, { readonly place: Place | null; readonly again: boolean }>()
  /** The same for nodes that poll. Only a hint, so it is not undone: every poll begins at the top as well. */
  const pollPlaces = new WeakMap<Node, Map<Lane, Place>>()
  /** Tasks with a row that contradicts itself: they are not scanned again before the next start. */
  const quarantined = new Set<string>()
  const recalls = createRecalls(ctx, { attempts, eligibility, isQuarantined: (taskId) => quarantined.has(taskId) })

  const sessionOf = (node: Node): LiveSession => {
    if (node.session === null) throw new Error(`node ${node.row.node_id} is in a pool of free nodes without a session`)
    return node.session
  }
  /** @param ready as it was chosen; what was just taken in has never been given before */
  const push = (task: NewTask, attempt: OpenAttempt, node: Node, ready: ReadyTask | null = null): void => {
    const session = sessionOf(node)
    if (node.held.size > node.row.max_concurrent_tasks) {
      registry.prefetched.add({
        attempt,
        task: { ...(ready ?? asReady(task)), attempt: attempt.attempt },
        lanes: ctx.models.lanesOfTask(task.model_name, task.model_type),
        inferMs: task.max_infer_time * 1000,
        slotSince: null,
      })
    }
    const acceptBy = ctx.now + ctx.options.acceptTimeout
    offers.add({ task_id: task.task_id, attempt: attempt.attempt, at: acceptBy })
    registry.offer(node, task.task_id, textLength(task))
    ctx.wake(acceptBy)
    ctx.send(session.id, {
      type: 'task.assign',
      task_id: task.task_id,
      attempt: attempt.attempt,
      model_name: task.model_name,
      model_type: task.model_type,
      user_input: task.user_input,
      context: task.context,
      max_infer_time: task.max_infer_time,
      infer_fee: task.infer_fee,
      lease_expires_at: toSeconds(ctx.wall + (attempt.lease_ms - ctx.now)),
      // Where the service posts, nobody else has to: who holds it could be paid for nothing.
      signed_tx: ctx.options.chain === null ? task.signed_tx : null,
      stream: ctx.watches.streams(task.task_id, attempt.attempt),
      ...(task.params === null ? {} : { params: readParams(task.params) }),
      ...(task.traceparent === null ? {} : { traceparent: task.traceparent }),
      ...(node.prefetch === 0 ? {} : { priority: task.queue_rank }),
    })
  }

  /** Places what the turn has taken in. */
  const placeNew = (): void => {
    const blocked = new Set<Lane>()
    const nodeFor = (task: NewTask): Node | undefined => {
      const node = ctx.stopping ? undefined : eligibility.nodeForNew(task, blocked)
      if (node === undefined)
        for (const lane of ctx.models.lanesOfTask(task.model_name, task.model_type)) blocked.add(lane)
      return node
    }
    submissions.place(nodeFor, (task, attempt, node) => push(task, attempt, node))
  }

  const pushTo = (node: Node, task: ReadyTask): void => {
    const assigned = attempts.assign(task, node, false)
    push(assigned.task, assigned.attempt, node, task)
  }

  /** @throws UndispatchableTask when it cannot be done through no fault of the store: from then on the task is passed over */
  const orQuarantine = <T>({ task_id }: ReadyTask, assign: () => T): T => {
    try {
      return assign()
    } catch (error) {
      if (isStoreFault(error)) throw error
      if (quarantined.size < MAX_QUARANTINED) quarantined.add(task_id)
      throw new UndispatchableTask(task_id, error)
    }
  }

  /** Goes over at most SCAN_LIMIT tasks and pushes what can be pushed. @returns whether anything was */
  const scan = (readers: readonly LaneReader[]): boolean => {
    const seen = new Set<string>()
    let placed = false
    for (let i = 0; i < SCAN_LIMIT; i++) {
      const task = takeBest(
        readers.filter((r) => hasPlace(r.lane)),
        seen,
      )
      if (task === undefined) break
      if (quarantined.has(task.task_id)) continue
      placed = orQuarantine(task, () => {
        const node = eligibility.nodeFor(task)
        if (node === undefined) return placed
        pushTo(node, task)
        return true
      })
    }
    return placed
  }

  const takeDirtyLanes = (): Lane[] => {
    const taken = [...registry.dirtyLanes]
    for (const lane of taken) undo.keepMember(registry.dirtyLanes, lane)
    registry.dirtyLanes.clear()
    return taken
  }
  const takeUnfinished = () => {
    const taken = [...unfinished]
    for (const [lane] of taken) undo.keepEntry(unfinished, lane)
    unfinished.clear()
    return taken
  }
  const goOnLater = (lane: Lane, place: Place | null, again: boolean): void => {
    undo.keepEntry(unfinished, lane)
    unfinished.set(lane, { place, again })
  }

  /** Fills every free slot of the lanes in which something has changed. @returns whether to do it again: something was taken back for one */
  const fill = (): boolean => {
    if (registry.dirtyLanes.size === 0 && unfinished.size === 0) return false
    const changed = takeDirtyLanes()
    const goingOn = new Map(takeUnfinished())
    if (ctx.stopping) return false
    recalls.beforeScan(changed)
    const fresh = changed.filter(hasPlace).map((lane) => readLane(store.tasks, lane, null, slotsIn(lane)))
    let placed = scan(fresh)
    for (const reader of fresh) {
      // A lane that the others left no room in the scan goes on from its top.
      const { lane, place } = reader
      if (reader.peek() === undefined || !hasPlace(lane)) continue
      const before = goingOn.get(lane)
      // The scan that goes on is let to its end first, or what is far behind would never be reached.
      if (before === undefined) goOnLater(lane, place, false)
      else goingOn.set(lane, { ...before, again: true })
    }
    for (const [lane, { place, again }] of goingOn) {
      if (!hasPlace(lane)) continue // a slot that becomes free begins at the top
      const reader = readLane(store.tasks, lane, place, slotsIn(lane))
      placed = scan([reader]) || placed
      if (reader.peek() !== undefined && hasPlace(lane)) goOnLater(lane, reader.place ?? place, again)
      else if (again) registry.dirtyLanes.add(lane)
    }
    const more = recalls.afterScan(changed.filter((lane) => !unfinished.has(lane)))
    if (unfinished.size > 0 || registry.dirtyLanes.size > 0) ctx.wake(placed ? ctx.now : ctx.now + RESCAN_AFTER_MS)
    return more
  }

  return {
    offers,
    recall: recalls.recall,

    /** The end of a turn: writes what it has taken in, and fills every free slot of the lanes in which something has changed. */
    run() {
      placeNew()
      for (let round = 0; round < MAX_ROUNDS && fill(); round++);
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
          if (quarantined.has(task.task_id)) continue
          if (eligibility.mayGet(task)(node)) return orQuarantine(task, () => attempts.assign(task, node, true))
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

/** A task that was just taken in, as one that was read would be. */
const asReady = (task: NewTask): ReadyTask => {
  const { task_id, model_name, model_type, attempt, queue_rank, queued_ms, infer_fee, paid_nonce, needs } = task
  const never = { retried_after: 0, seq: 0 }
  return { task_id, model_name, model_type, attempt, queue_rank, queued_ms, infer_fee, paid_nonce, needs, ...never }
}
