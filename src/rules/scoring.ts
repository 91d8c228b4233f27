/** What is known of a node when a choice is made. */
export interface Candidate {
  /** What it registered with, 0 to 1. */
  prior: number
  /** How its attempts ended; older ones count less. */
  successes: number
  failures: number
  /** Mean seconds of its completed attempts; 0 while there are none. */
  meanSeconds: number
  held: number
  slots: number
}

/** How many ended attempts the prior is worth. */
const PRIOR_WEIGHT = 4
/** The share of choices that go to a candidate at random, so that a node with a bad start gets evidence again. */
export const EXPLORATION = 0.05

/**
 * How good a node is for the next task, higher is better:
 *
 *     success x speed x room
 *
 * success: the share of its attempts that ended well, with `performance_score` counted as 4 earlier attempts.
 * speed: the square root of (mean seconds of all nodes / its own), between 1/2 and 2; 1 while unknown. The root,
 *   because tasks differ: a node that got the long ones is not slow.
 * room: 1 when it holds nothing, down to 1/2 when it is full, so that equal nodes share the work.
 */
export function scoreNode(c: Candidate, poolSeconds: number): number {
  const success = (c.prior * PRIOR_WEIGHT + c.successes) / (PRIOR_WEIGHT + c.successes + c.failures)
  const speed =
    c.meanSeconds > 0 && poolSeconds > 0 ? Math.min(2, Math.max(0.5, Math.sqrt(poolSeconds / c.meanSeconds))) : 1
  return success * speed * (1 - 0.5 * (c.held / c.slots))
}

/** The best of the candidates; EXPLORATION of the time any of them. Undefined when there is none. */
export function choose<T>(
  candidates: readonly T[],
  score: (candidate: T) => number,
  random: () => number,
): T | undefined {
  if (candidates.length > 1 && random() < EXPLORATION) return candidates[Math.floor(random() * candidates.length)]
  let best: T | undefined
  let bestScore = -1
  for (const candidate of candidates) {
    const s = score(candidate)
    if (s > bestScore) [best, bestScore] = [candidate, s]
  }
  return best
}

/** How many attempts back half of the evidence is forgotten: each new one weighs 1, older ones decay by this. */
const DECAY = 0.5 ** (1 / 50)

/** The figures of a node after one more attempt; seconds null when it did not complete. */
export function addEvidence(
  f: { successes: number; failures: number; mean_seconds: number },
  seconds: number | null,
): void {
  f.successes *= DECAY
  f.failures *= DECAY
  if (seconds === null) {
    f.failures += 1
    return
  }
  f.successes += 1
  const weight = f.mean_seconds === 0 ? 1 : 0.1
  f.mean_seconds += weight * (Math.max(seconds, 0.001) - f.mean_seconds)
}

/** Failures in a row, through its own fault, after which a node is in cooldown. */
export const COOLDOWN_AFTER = 3
/** How long its cooldown is: 30 s, doubling with every further failure, at most an hour (ms). */
export const cooldownMs = (failuresInRow: number): number =>
  Math.min(3_600_000, 30_000 * 2 ** Math.min(failuresInRow - COOLDOWN_AFTER, 20))

/** How long a node that rejected a task is not offered it again: 30 s, doubling with every rejection (ms). */
export const rejectionPauseMs = (rejections: number): number => 30_000 * 2 ** Math.min(rejections - 1, 20)

/** How long a node that lost or failed a task is not offered it again: 5 s, doubling with every time, at most 20 s (ms). */
export const failurePauseMs = (failures: number): number => 5000 * 2 ** Math.min(failures - 1, 2)
