/** The fewest operations that may share a commit, and the most: with more the first of them would only wait longer. */
export const LEAST = 128
export const MOST = 512
/** A turn may take so many times as long as its commit. */
const SHARE = 2
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
    room: (): number => (each === 0 ? LEAST : Math.round(Math.min(MOST, Math.max(LEAST, (SHARE * commit) / each)))),
  }
}
