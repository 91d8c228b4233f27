import type { TaskFigures } from '../operations.js'

/** New work waits no longer than this for places at nodes, ms. */
const MAX_HOLD_MS = 80
/** Overloaded: the oldest submission has waited longer than this for OVERLOADED_FOR_MS on end. A burst is over before that. */
const MAX_QUEUE_WAIT_MS = 100 + MAX_HOLD_MS
const OVERLOADED_FOR_MS = 500
/** Overloaded at once, whatever was before: the oldest submission has waited longer than this. */
const MAX_QUEUE_WAIT_EVER_MS = 1000

/** What is said to those that are refused then. */
export const OVERLOADED = 'the service has more to do than it can; submit again in a few seconds'

/**
 * Whether more submissions come than can be served.
 * @param oldestWait how long the oldest submission that waits has waited, ms; 0 when none does
 * @param now ms, monotonic
 */
export function createOverload(oldestWait: () => number, now: () => number): () => boolean {
  /** Since when they have waited too long; null while they do not. */
  let since: number | null = null
  return () => {
    const wait = oldestWait()
    if (wait > MAX_QUEUE_WAIT_MS) since ??= now()
    else if (wait < MAX_QUEUE_WAIT_MS / 2) since = null
    if (wait > MAX_QUEUE_WAIT_EVER_MS) return true
    return wait > MAX_QUEUE_WAIT_MS && since !== null && now() - since >= OVERLOADED_FOR_MS
  }
}

/** A queue that takes longer to work off than this is long, ms; and never one of fewer tasks than that. */
const LONG_QUEUE_MS = 500
const LONG_QUEUE_TASKS = 500
/** How often it is counted how much is done, ms. */
const COUNT_EVERY_MS = 200
/**
 * The service is what limits when its event loop is active for this share of the time, or the core computes for this one, and tasks stay
 * at nodes no longer than this on average, ms: with slower nodes they limit, however busy the service is with a turn for each word.
 */
const BUSY_LOOP = 0.8
const BUSY_CORE = 0.6
const QUICK_NODES_MS = 150
/** What becomes free within this time is counted as free: about the next turn, ms. */
const NEXT_TURN_MS = 10
/** While the queue is long so many new tasks are taken where none comes to an end, each ms; and when that is looked at again, ms. */
const TRICKLE = 0.05
const LOOK_AGAIN_MS = 10

const ALL = { tasks: Infinity, lookIn: 0 }

/**
 * How what waits for a node compares with what is done: whether to take more now. It says so only while the service itself is what
 * limits: what takes its time from tasks that are accepted makes all of them late. Where nodes limit, tasks wait in the file.
 * @param now ms, monotonic @param active how long the event loop was active so far, ms
 */
export function createBacklog(now: () => number, active: () => number) {
  let waiting = 0
  let places = 0
  /** In the time that was counted last: tasks that came to an end, each ms, and whether the service was what limits. */
  let perMs = 0
  let busy = false
  /** When it was counted last, and how many had ended then; null before the first time. */
  let counted: { at: number; ended: number; active: number } | null = null
  /** How long turns have computed since then, ms. */
  let turnsMs = 0
  /** How many new tasks may be taken while the queue is long: as many as have ended since it is. */
  let credit = 0
  let last = { at: 0, ended: 0 }

  const isLong = (): boolean => busy && waiting > Math.max(LONG_QUEUE_TASKS, perMs * LONG_QUEUE_MS)
  return {
    /** @param turnMs how long the turn that has ended so computed, ms */
    learn(tasks: TaskFigures, turnMs: number): void {
      ;({ waiting, places } = tasks)
      const at = now()
      counted ??= { at, ended: tasks.ended, active: active() }
      turnsMs += turnMs
      const ms = at - counted.at
      if (ms >= COUNT_EVERY_MS) {
        const next = { at, ended: tasks.ended, active: active() }
        perMs = (next.ended - counted.ended) / ms
        const isFull = next.active - counted.active >= BUSY_LOOP * ms || turnsMs >= BUSY_CORE * ms
        busy = isFull && tasks.working <= perMs * QUICK_NODES_MS
        counted = next
        turnsMs = 0
      }
      credit = isLong() ? credit + tasks.ended - last.ended + (at - last.at) * TRICKLE : 0
      last = { at, ended: tasks.ended }
    },
    /** The turn that begins takes so many new tasks. */
    takes(tasks: number): void {
      places -= tasks
      credit -= tasks
    },
    /**
     * How many new tasks may be taken now; 0: none, and how long until that is looked at again, ms.
     * - Those that are next wait until nodes have places for all of them: then each is written once, as given to a node, and not first as
     *   one that waits, which costs a third more. Only where places become free as fast as that.
     * - While the queue is long, as many are taken as have ended.
     * @param tasks how many are next @param waited how long they have waited, ms
     */
    admits(tasks: number, waited: number): { tasks: number; lookIn: number } {
      if (!busy) return ALL
      if (isLong()) return credit > 0 ? { tasks: credit, lookIn: 0 } : { tasks: 0, lookIn: LOOK_AGAIN_MS }
      const free = places - waiting + perMs * NEXT_TURN_MS
      if (tasks <= free) return { tasks: free, lookIn: 0 }
      const areQuick = tasks <= perMs * MAX_HOLD_MS
      return areQuick && waited < MAX_HOLD_MS ? { tasks: 0, lookIn: MAX_HOLD_MS - waited } : ALL
    },
  }
}
