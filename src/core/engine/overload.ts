/** Overloaded: the oldest submission has waited longer than this for OVERLOADED_FOR_MS on end. A burst is over before that. */
const MAX_QUEUE_WAIT_MS = 100
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
const LONG_QUEUE_MS = 1000
const LONG_QUEUE_TASKS = 500
/** How often it is counted how many tasks come to an end, ms. */
const COUNT_EVERY_MS = 500

/**
 * Whether so many tasks wait that to take more of them only takes time from those.
 * @param now ms, monotonic
 */
export function createBacklog(now: () => number) {
  let waiting = 0
  let perMs = 0
  /** When it was counted last, and how many had ended then; null before the first time. */
  let counted: { at: number; ended: number } | null = null
  return {
    learn(tasks: { waiting: number; ended: number }): void {
      waiting = tasks.waiting
      const at = now()
      counted ??= { at, ended: tasks.ended }
      if (at - counted.at < COUNT_EVERY_MS) return
      perMs = (tasks.ended - counted.ended) / (at - counted.at)
      counted = { at, ended: tasks.ended }
    },
    isLong: (): boolean => waiting > Math.max(LONG_QUEUE_TASKS, perMs * LONG_QUEUE_MS),
  }
}
