/** The fewest operations that may share a commit, and the most: with more the first of them would only wait longer. */
export const LEAST = 128
export const MOST = 512
/** A turn may take so many times as long as its commit. */
const SHARE = 2
/** A commit that takes so long, ms, is slow. */
const SLOW = 1.5
const MAX_PAUSE = 4
/** How much the newest turn counts. */
const WEIGHT = 0.2

/**
 * How many operations share a commit. Few where a commit costs little: then nodes work on what one commit gave them during the
 * next. Many where the disk is slow, so that commits do not take most of the time.
 */
export function createTurnSize() {
  let commit = 0
  let each = 0
  const towards = (mean: number, value: number): number => (mean === 0 ? value : mean + WEIGHT * (value - mean))
  return {
    /** @param weight of the operations of a turn that has ended @param took how long it took, and its commit, ms */
    learn(weight: number, took: { all: number; commit: number }) {
      if (took.commit <= 0 || weight <= 0) return
      commit = towards(commit, took.commit)
      each = towards(each, Math.max(0.001, (took.all - took.commit) / weight))
    },
    /**
     * How long after a turn the next one begins at the earliest, ms: what its commit has released comes back meanwhile, and shares
     * the next commit, where a commit is dear. Then half of a commit, and 4 at most; else 0.
     */
    pause: (): number => (commit < SLOW ? 0 : Math.min(MAX_PAUSE, commit / 2)),
    room: (): number => (each === 0 ? LEAST : Math.round(Math.min(MOST, Math.max(LEAST, (SHARE * commit) / each)))),
  }
}
