/** What a new node has to show before it is treated as any other, and what it may have until then. */
export const PROBATION = {
  /** Good results, */
  results: 20,
  /** over at least so many seconds. */
  seconds: 3600,
  /** The most tasks at once. */
  slots: 2,
  /** The share of a model's tasks that all nodes in probation may have together, where others serve it. */
  share: 0.2,
} as const

/** What a node has shown. Times in Unix seconds. */
export interface Record {
  good_results: number
  /** When the first of them came; null before it. */
  good_since: number | null
}

/** The levels that differ: with more a node has as many slots as any may. */
const MAX_LEVEL = 10

/**
 * How far a node has come: 0 is probation, and each level more is another 20 good results and another hour. @param now Unix seconds
 */
export function levelOf({ good_results, good_since }: Record, now: number): number {
  if (good_since === null) return 0
  const hours = Math.floor((now - good_since) / PROBATION.seconds)
  return Math.max(0, Math.min(Math.floor(good_results / PROBATION.results), hours, MAX_LEVEL))
}

/** The most tasks at once of a node at a level: two in probation, and twice as many with each level. */
export const slotsAt = (level: number): number => PROBATION.slots * 2 ** level
