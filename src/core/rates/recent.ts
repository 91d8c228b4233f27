import type { AttemptEnd, Fault } from '../../rules/lifecycle.js'

/** So many ended attempts of all nodes are known. */
const MOST = 20_000

/** An attempt that has ended. Times: Unix ms. */
export interface EndedAttempt {
  node_id: string
  task_id: string
  attempt: number
  model_name: string
  assigned_ms: number
  accepted_ms: number | null
  first_word_ms: number | null
  ended_ms: number
  end: AttemptEnd
  fault: Fault | null
  completion_tokens: number | null
}

export type RecentAttempts = ReturnType<typeof createRecentAttempts>

/** The newest attempts that have ended, in a ring: what a node did of late is looked for in it. */
export function createRecentAttempts() {
  const ring: EndedAttempt[] = []
  /** Where the next goes, once the ring is full. */
  let next = 0
  return {
    add(attempt: EndedAttempt): void {
      if (ring.length < MOST) ring.push(attempt)
      else ring[next] = attempt
      next = (next + 1) % MOST
    },
    /** The same of before the start, the newest first; while there is room. */
    addPast(attempts: readonly EndedAttempt[]): boolean {
      if (ring.length + attempts.length > MOST) return false
      ring.unshift(...attempts.toReversed())
      next = ring.length % MOST
      return true
    },
    /** The newest of a node, the newest first. */
    ofNode(nodeId: string, most: number): EndedAttempt[] {
      const found: EndedAttempt[] = []
      for (let i = 0; i < ring.length && found.length < most; i++) {
        const attempt = ring[(next - 1 - i + ring.length) % ring.length]
        if (attempt?.node_id === nodeId) found.push(attempt)
      }
      return found
    },
  }
}
