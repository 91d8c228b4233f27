/** Failed tries within this time are counted together, ms. */
const WINDOW_MS = 60_000
/** How many of them are answered as what they are. */
const MAX_FAILURES = 10
/** How long all further ones are then refused, ms. */
export const BLOCKED_MS = 300_000
/** Who is remembered at once. */
const MAX_KEYS = 50_000

interface Failed {
  since: number
  count: number
  blockedUntil: number
}

export type Failures = ReturnType<typeof createFailures>

/**
 * Failed authentications of an address or a token. It only says how a failure is answered: what is good is never refused for it.
 * @param now ms, monotonic
 */
export function createFailures(now: () => number) {
  /** The longest without a failure first. */
  const known = new Map<string, Failed>()
  return {
    /** Counts one. @returns 'first' of those that are too many, 'more', or null while there are few */
    count(key: string): 'first' | 'more' | null {
      const at = now()
      const before = known.get(key)
      const failed = before !== undefined && isRecent(before, at) ? before : { since: at, count: 0, blockedUntil: 0 }
      known.delete(key)
      const [oldest] = known.size >= MAX_KEYS ? known.keys() : []
      if (oldest !== undefined) known.delete(oldest)
      known.set(key, failed)
      if (failed.blockedUntil > at) return 'more'
      failed.count++
      if (failed.count <= MAX_FAILURES) return null
      failed.blockedUntil = at + BLOCKED_MS
      return 'first'
    },
  }
}

const isRecent = ({ since, blockedUntil }: Failed, at: number): boolean =>
  blockedUntil > at || (blockedUntil === 0 && at - since < WINDOW_MS)
