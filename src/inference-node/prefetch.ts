/** Where tasks take no longer than this, seconds, a slot that waits for its next one loses a part of its time that counts. */
const SHORT_SECONDS = 4
/** Once they were short they are until they take longer than this. */
const LONG_SECONDS = 8
/** So many tasks tell how long they take; the newest counts for this part of the mean. */
const LEAST_TASKS = 8
const NEWEST_SHARE = 0.2
/** One for each slot, and no more than this: what waits here cannot be begun by another node. */
const MOST = 8

export type Prefetch = ReturnType<typeof createPrefetch>

/**
 * How many tasks a node asks to hold beyond its slots, so that the next is there when one is done.
 * @param setting a number; auto: one for each slot, at most 8, while tasks are short, and none before that is known
 */
export function createPrefetch(setting: number | 'auto', slots: number) {
  const one = Math.min(slots, MOST)
  let asked = setting === 'auto' ? 0 : setting
  let highest = asked
  let tasks = 0
  let mean = 0
  return {
    /** The most it has asked for: the coordinator may not have heard of less yet. */
    highest: (): number => highest,
    ask: (): number => asked,
    /** A task was completed. @returns whether it asks for another number now */
    took(seconds: number): boolean {
      if (setting !== 'auto') return false
      tasks++
      mean += (seconds - mean) * Math.max(NEWEST_SHARE, 1 / tasks)
      const before = asked
      if (tasks >= LEAST_TASKS) asked = mean <= (before > 0 ? LONG_SECONDS : SHORT_SECONDS) ? one : 0
      highest = Math.max(highest, asked)
      return asked !== before
    },
  }
}
