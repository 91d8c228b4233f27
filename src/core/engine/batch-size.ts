/** The fewest operations that may share a commit, and the most: with more the first of them would only wait longer. */
export const MIN_BATCH = 128
export const MAX_BATCH = 512
/** A turn may take so many times as long as its commit. */
const TURN_PER_COMMIT = 2
/** A commit that takes so long is slow. */
const SLOW_COMMIT_MS = 1.5
const MAX_PAUSE_MS = 4
/** Commits are shared while at least so many operations are in one, on average. */
const SHARED = 2
/** Each commit counts up to so many: with a few that are not shared the average is below SHARED. */
const SHARED_CAP = 4
/** With a longer time between two commits there is nothing that a pause would let share one. */
const SELDOM_MS = 250
/** How much the newest turn counts in each average. */
const NEWEST_WEIGHT = 0.2

/**
 * How many operations share a commit. Few where a commit costs little: then nodes work on what one commit gave them during the
 * next. Many where the disk is slow, so that commits do not take most of the time.
 */
export function createBatchSize() {
  /** How long a commit takes, and an operation of weight 1 beside it, ms. */
  let commit = 0
  let each = 0
  /** Operations in a commit. */
  let shared = 0
  /** When the last commit ended, ms. */
  let committedAt = -Infinity
  const towards = (mean: number, value: number): number => (mean === 0 ? value : mean + NEWEST_WEIGHT * (value - mean))
  return {
    /**
     * @param operations how many the turn that has ended had @param weight of them
     * @param took how long it took, and its commit, ms @param now monotonic, ms
     */
    learn(operations: number, weight: number, took: { all: number; commit: number }, now: number) {
      if (took.commit <= 0 || weight <= 0) return
      shared = now - committedAt > SELDOM_MS ? 1 : towards(shared, Math.min(SHARED_CAP, operations))
      committedAt = now
      commit = towards(commit, took.commit)
      each = towards(each, Math.max(0.001, (took.all - took.commit) / weight))
    },
    /**
     * How long it is from now until the next commit should begin, ms: what the last one has released comes back meanwhile and shares
     * the next, where a commit is dear. Half of a commit after the last one, and MAX_PAUSE_MS at most; 0 where commits are quick,
     * are not shared, or come seldom.
     */
    pause(now: number): number {
      if (commit < SLOW_COMMIT_MS || shared < SHARED) return 0
      return Math.max(0, committedAt + Math.min(MAX_PAUSE_MS, commit / 2) - now)
    },
    room: (): number =>
      each === 0 ? MIN_BATCH : Math.round(Math.min(MAX_BATCH, Math.max(MIN_BATCH, (TURN_PER_COMMIT * commit) / each))),
  }
}
