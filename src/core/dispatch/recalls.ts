import type { Lane } from '../../rules/models.js'
import type { ReadyTask } from '../../store/tasks.js'
import type { Context } from '../context.js'
import { isBefore, type Prefetched } from '../nodes/prefetched.js'
import type { Attempts } from '../tasks/attempts.js'
import type { Eligibility } from './eligibility.js'

/**
 * So long a node is left what it was given, ms: it may have begun, and be done, and have said so, while the service has much to do. Who
 * holds tasks beyond its slots has short ones, so that what was given later seldom waits for longer.
 */
export const RECALL_AFTER_MS = 1000
/** So many are taken back in one turn of a lane: the rest of them in the next. */
const MAX_RECALLS = 16
/** As many of the best that wait are looked at: the place of 16 in SCAN_LIMITS. */
const LOOK = 3

export interface RecallParts {
  attempts: Attempts
  eligibility: Eligibility
  /** Whether a task is passed over by dispatch. */
  isQuarantined(taskId: string): boolean
}

export type Recalls = ReturnType<typeof createRecalls>

/**
 * Takes tasks back that wait at nodes for a slot, so that to hold tasks beyond one's slots makes no other task, and no other node,
 * wait: for a free node, which would begin it at once; and for a task that goes before it.
 */
export function createRecalls(ctx: Context, { attempts, eligibility, isQuarantined }: RecallParts) {
  const { registry, store } = ctx
  const { prefetched } = registry

  const recall = ({ attempt }: Prefetched, why: string): void => {
    attempts.sendCancel(attempt, 'recalled')
    attempts.requeue(attempt, 'unaccepted', null, `recalled before it was begun: ${why}`)
  }

  /** What free nodes of a lane could begin at once. @param isNext whether it goes before what waits for them. @returns how many */
  const forFreeNodes = (lane: Lane, isNext: (task: ReadyTask) => boolean): number => {
    const most = Math.min(MAX_RECALLS, eligibility.freeSlotsIn(lane))
    for (let taken = 0; taken < most; taken++) {
      const entry = prefetched.first(lane, ctx.now - RECALL_AFTER_MS)
      if (entry === undefined || !isNext(entry.task) || !eligibility.hasFreeNodeFor(entry.task)) return taken
      recall(entry, 'another node has a free slot')
    }
    return most
  }
  /** Room for tasks that wait and go before what nodes hold. */
  const forBetter = (lane: Lane): void => {
    // Mostly nothing goes before what nodes hold: to see that takes one row.
    const first = store.tasks.ready(lane, null, 0)[0]
    if (first === undefined || !prefetched.hasBelow(lane, first.queue_rank)) return
    for (const task of store.tasks.ready(lane, null, LOOK)) {
      if (isQuarantined(task.task_id)) continue
      const mayGet = eligibility.mayGet(task)
      const entry = prefetched.last(lane, task.queue_rank, ({ attempt }) => {
        if (attempt.assigned_ms > ctx.now - RECALL_AFTER_MS) return false
        const node = registry.givenTo(attempt)
        return node !== undefined && mayGet(node)
      })
      if (entry === undefined) return
      recall(entry, 'a task that goes first takes its place')
    }
  }

  /** Looks at lanes until something was taken back. The same nodes may be free in the lanes behind: those are looked at in the next turn. */
  const until = (lanes: readonly Lane[], taken: (lane: Lane) => boolean): boolean => {
    const at = lanes.findIndex((lane) => prefetched.isIn(lane) && taken(lane))
    if (at < 0) return false
    for (const lane of lanes.slice(at + 1)) registry.dirtyLanes.add(lane)
    return true
  }

  return {
    recall,
    /** Before lanes are scanned: what goes before all that waits in them. */
    beforeScan(lanes: readonly Lane[]): void {
      until(lanes, (lane) => {
        if (!eligibility.hasPlace(lane)) forBetter(lane)
        if (!eligibility.hasFree(lane)) return false
        const waiting = store.tasks.ready(lane, null, 0)[0]
        return forFreeNodes(lane, (task) => waiting === undefined || !isBefore(waiting, task)) > 0
      })
    },
    /** After it: for nodes that are still free, what waits at others. @returns whether something was taken back, and waits now */
    afterScan: (lanes: readonly Lane[]): boolean =>
      until(lanes, (lane) => {
        if (!eligibility.hasFree(lane)) return false
        if (forFreeNodes(lane, () => true) > 0) return true
        // What was given a moment ago is looked at again when it has not been begun by then.
        if (prefetched.first(lane, ctx.now - RECALL_AFTER_MS) === undefined) registry.dirtyLanes.add(lane)
        return false
      }),
  }
}
