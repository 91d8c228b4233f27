import type { Place, ReadyTask, TaskTable } from '../../store/tasks.js'
import { SCAN_LIMITS } from '../../store/tasks.js'
import type { Lane } from '../../rules/models.js'

/** Reads the ready tasks of one lane, best first, a page at a time: few at first, more when those could not be placed. */
export interface LaneReader {
  readonly lane: Lane
  /** The best task that was not taken yet. */
  peek(): ReadyTask | undefined
  /** Goes on behind it. */
  take(): void
  /** Behind the last task that was taken; null at the top. */
  readonly place: Place | null
}

/**
 * @param from where an earlier reader stopped; null begins at the top
 * @param wanted how many tasks are likely to be placed: about so many are fetched first, more when they could not be
 */
export function readLane(tasks: Pick<TaskTable, 'ready'>, lane: Lane, from: Place | null, wanted: number): LaneReader {
  let place = from
  let page: ReadyTask[] = []
  let at = 0
  let look = Math.max(
    0,
    SCAN_LIMITS.findLastIndex((n, i) => i === 0 || (SCAN_LIMITS[i - 1] ?? 0) < wanted),
  )
  let ended = false
  const fetch = (): void => {
    page = tasks.ready(lane, place, look)
    ended = page.length < (SCAN_LIMITS[look] ?? 0)
    look = Math.min(look + 1, SCAN_LIMITS.length - 1)
    at = 0
  }
  return {
    lane,
    peek() {
      if (at >= page.length && !ended) fetch()
      return page[at]
    },
    take() {
      const task = page[at++]
      if (task !== undefined) place = { queue_rank: task.queue_rank, seq: task.seq }
    },
    get place() {
      return place
    },
  }
}

/**
 * The best task of several lanes, taken from each that it is in; undefined when there is none.
 * @param seen tasks that were taken already, added to
 */
export function takeBest(readers: readonly LaneReader[], seen: Set<string>): ReadyTask | undefined {
  let best: ReadyTask | undefined
  let from: LaneReader | undefined
  for (const reader of readers) {
    let task = reader.peek()
    while (task !== undefined && seen.has(task.task_id)) {
      reader.take()
      task = reader.peek()
    }
    if (task === undefined) continue
    if (
      best === undefined ||
      task.queue_rank > best.queue_rank ||
      (task.queue_rank === best.queue_rank && task.seq < best.seq)
    ) {
      best = task
      from = reader
    }
  }
  from?.take()
  if (best !== undefined) seen.add(best.task_id)
  return best
}
