import { toSeconds } from '../../lib/clock.js'
import type { Tally } from './tally.js'

/** How the tasks of a model stand, whose name may be anybody's: it is forgotten with the last of them. */
interface Standing {
  tally: Tally
  waiting: number
  running: number
  /** How many wait that began to in each second of the service clock. */
  since: Map<number, number>
  /** The first of those seconds; null where it has to be looked for. */
  first: number | null
}

/** What waits and what is worked on in one tally. */
export interface Standings {
  waiting: number
  running: number
  /** Since when the oldest waits, service clock, ms, to the second; null where nothing does, or it is not known yet. */
  oldest: number | null
}

export type Queue = ReturnType<typeof createQueue>

/**
 * How many tasks of each model wait and are worked on, and since when the oldest waits: kept as it changes. What waited at the start is
 * counted then; how long it has waited is learned step by step, the oldest first.
 * @param startedAt service clock, ms
 */
export function createQueue(startedAt: number) {
  const standings = new Map<string, Standing>()
  /** Tasks that began to wait before the start are known up to this time; service clock, ms. */
  let learned = -1

  const change = (key: string, tally: Tally, fn: (s: Standing) => void): void => {
    let found = standings.get(key)
    if (found === undefined) {
      found = { tally, waiting: 0, running: 0, since: new Map(), first: null }
      standings.set(key, found)
    }
    fn(found)
    if (found.waiting <= 0 && found.running <= 0) standings.delete(key)
  }
  const countSince = (s: Standing, queuedMs: number, by: number): void => {
    const second = toSeconds(queuedMs)
    const n = (s.since.get(second) ?? 0) + by
    if (n > 0) {
      s.since.set(second, n)
      if (s.since.size === 1 || (s.first !== null && second < s.first)) s.first = second
      return
    }
    s.since.delete(second)
    if (s.first === second) s.first = null
  }
  const firstOf = (s: Standing): number | null => {
    if (s.first === null)
      for (const second of s.since.keys()) if (s.first === null || second < s.first) s.first = second
    return s.first
  }
  const isKnown = (queuedMs: number): boolean => queuedMs > startedAt || queuedMs <= learned

  return {
    /** A task waits now (1), or no longer (-1). @param queuedMs since when, service clock, ms */
    waits(key: string, tally: Tally, queuedMs: number, by: 1 | -1): void {
      change(key, tally, (s) => {
        s.waiting += by
        if (isKnown(queuedMs)) countSince(s, queuedMs, by)
      })
    },
    runs(key: string, tally: Tally, by: 1 | -1): void {
      change(key, tally, (s) => {
        s.running += by
      })
    },
    /** What there is at the start. */
    load(key: string, tally: Tally, waiting: number, running: number): void {
      change(key, tally, (s) => {
        s.waiting += waiting
        s.running += running
      })
    },
    /** Since when tasks wait that waited at the start: those up to `through`, all of them. */
    learn(tasks: readonly { key: string; queued_ms: number }[], through: number): void {
      learned = through
      for (const { key, queued_ms } of tasks) {
        const s = standings.get(key)
        if (s !== undefined) countSince(s, queued_ms, 1)
      }
    },
    /** Through when it is learned; service clock, ms. */
    learnedThrough: (): number => learned,
    /** A name has a tally of its own from here on. @returns how many of it wait */
    move(key: string, tally: Tally): { from: Tally; waiting: number } | null {
      const s = standings.get(key)
      if (s === undefined) return null
      const from = s.tally
      s.tally = tally
      return { from, waiting: s.waiting }
    },
    /** How many wait whose model is one of these. */
    waitingOf(isOne: (key: string) => boolean): number {
      let sum = 0
      for (const [key, { waiting }] of standings) if (waiting > 0 && isOne(key)) sum += waiting
      return sum
    },
    /** All of it, by tally. Looks at each name that waits: many only where strangers make them up. */
    byTally(): Map<Tally, Standings> {
      const found = new Map<Tally, Standings>()
      for (const s of standings.values()) {
        const { waiting, running, oldest } = found.get(s.tally) ?? { waiting: 0, running: 0, oldest: null }
        const second = s.waiting > 0 ? firstOf(s) : null
        const since = second === null ? null : second * 1000
        found.set(s.tally, {
          waiting: waiting + s.waiting,
          running: running + s.running,
          oldest: oldest === null || since === null ? (oldest ?? since) : Math.min(oldest, since),
        })
      }
      return found
    },
  }
}
