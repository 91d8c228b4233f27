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
/** The service is at its limit when its event loop is active for this share of the time, or the core computes for this one ... */
const FULL_LOOP = 0.8
const FULL_CORE = 0.6
/**
 * ... and tasks stay at nodes no longer than this on average, ms, or so many operations share a turn, most of them of tasks that end: no
 * more than so many for each. Else nodes are what limits, however busy the service is with a turn for each word of theirs.
 */
const QUICK_NODES_MS = 150
const FULL_TURN = 32
const OPERATIONS_A_TASK = 16
/** What becomes free within this time is counted as free: about the next turn, ms. */
const NEXT_TURN_MS = 10
/** While the queue is long so many new tasks are taken each ms where none comes to an end; and when that is looked at again, ms. */
const TRICKLE = 0.05
const LOOK_AGAIN_MS = 10

/** How many new tasks may be taken; where that is 0, when to look again, ms. */
export interface Admitted {
  tasks: number
  lookIn: number
}
export const ALL: Admitted = { tasks: Infinity, lookIn: 0 }

/**
 * How what waits for a node compares with what is done: whether to take more now. It holds back only while the service itself is at its
 * limit: what takes its time from tasks that are accepted makes all of them late. Where nodes limit, tasks wait in the file.
 * @param now ms, monotonic @param active how long the event loop was active so far, ms
 */
export function createBacklog(now: () => number, active: () => number) {
  let tasks: TaskFigures = { waiting: 0, working: 0, ended: 0, places: null }
  /** New tasks that turns have taken since these figures. */
  let taken = 0
  /** In the time that was counted last: tasks that came to an end, each ms, and whether the service was at its limit. */
  let perMs = 0
  let atLimit = false
  /** When it was counted last, and how many tasks had ended then; null before the first time. */
  let counted: { at: number; ended: number; active: number } | null = null
  /** The turns since then: their operations, and how long they computed, ms. */
  let turns = { n: 0, operations: 0, ms: 0 }
  /** How many new tasks may be taken while the queue is long. */
  let credit = 0
  let creditedAt = 0

  const longQueue = (): number => Math.max(LONG_QUEUE_TASKS, perMs * LONG_QUEUE_MS)
  /** Places beside a queue are at nodes that may not have what waits: that is no reason to wait for it. */
  const isLong = (): boolean => atLimit && (tasks.places ?? 0) === 0 && tasks.waiting > longQueue()
  const freePlaces = (): number => {
    if (tasks.places === null) return Infinity // nodes that poll take what waits
    return (tasks.places > 0 ? tasks.places : -tasks.waiting) - taken + perMs * NEXT_TURN_MS
  }
  const countTurns = (at: number): void => {
    counted ??= { at, ended: tasks.ended, active: active() }
    const ms = at - counted.at
    if (ms < COUNT_EVERY_MS) return
    const next = { at, ended: tasks.ended, active: active() }
    const ended = next.ended - counted.ended
    perMs = ended / ms
    const isFull = next.active - counted.active >= FULL_LOOP * ms || turns.ms >= FULL_CORE * ms
    const areFull = turns.operations >= FULL_TURN * turns.n && turns.operations <= OPERATIONS_A_TASK * ended
    atLimit = isFull && ended > 0 && (tasks.working <= perMs * QUICK_NODES_MS || areFull)
    counted = next
    turns = { n: 0, operations: 0, ms: 0 }
  }
  return {
    /** @param figures after the turn that has ended; undefined: nothing was done @param turn how long it computed, ms */
    learn(figures: TaskFigures | undefined, turn: { operations: number; ms: number }): void {
      if (figures === undefined) {
        atLimit = false
        return
      }
      const ended = figures.ended - tasks.ended
      const at = now()
      tasks = figures
      taken = 0
      turns = { n: turns.n + 1, operations: turns.operations + turn.operations, ms: turns.ms + turn.ms }
      countTurns(at)
      credit = isLong() ? Math.min(longQueue(), credit + ended + (at - creditedAt) * TRICKLE) : 0
      creditedAt = at
    },
    /** The turn that begins takes so many new tasks. */
    takes(newTasks: number): void {
      taken += newTasks
      credit -= newTasks
    },
    /**
     * How many new tasks may be taken now.
     * - Those that are next wait until nodes have places for all of them: then each is written once, as given to a node, and not first as
     *   one that waits, which costs a third more. Only where places become free as fast as that.
     * - While the queue is long, as many are taken as have ended since it is.
     * @param newTasks how many are next @param waited how long they have waited, ms
     */
    admits(newTasks: number, waited: number): Admitted {
      if (!atLimit) return ALL
      if (isLong()) return credit > 0 ? { tasks: credit, lookIn: 0 } : { tasks: 0, lookIn: LOOK_AGAIN_MS }
      const free = freePlaces()
      if (newTasks <= free) return { tasks: free, lookIn: 0 }
      if (waited >= MAX_HOLD_MS) return ALL
      if (newTasks > perMs * MAX_HOLD_MS) return { tasks: newTasks, lookIn: 0 } // too many to wait for
      return { tasks: 0, lookIn: MAX_HOLD_MS - waited }
    },
  }
}
