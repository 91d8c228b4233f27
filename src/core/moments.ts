import type { ClockOffset } from '../store/clock-offsets.js'
import type { AttemptRow } from '../store/attempt-schema.js'

/** What is known of an attempt's times: by the service clock to the ms, by the wall clock to the second. */
type AttemptTimes = Pick<
  AttemptRow,
  'assigned_ms' | 'accepted_ms' | 'first_word_ms' | 'ended_ms' | 'assigned_at' | 'accepted_at' | 'ended_at'
>

/** The clocks have parted when they differ by more than before, ms: one was set, or the other stood still. */
const PARTED_MS = 250

export type Moments = ReturnType<typeof createMoments>

export interface MomentParts {
  /** Of earlier runs too, the oldest first. */
  load(): ClockOffset[]
  /** Writes one, in the transaction of the turn. */
  save(row: ClockOffset): void
  /** Counts once the turn is durable. */
  later(count: () => void): void
}

/**
 * When things were by the wall clock, to the millisecond, that are known in the service clock; the same after a restart, for it is
 * written down how the two have stood to one another.
 */
export function createMoments({ load, save, later }: MomentParts) {
  let offsets: ClockOffset[] = []
  const offsetAt = (ms: number): number | null => {
    let low = 0
    let high = offsets.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((offsets[middle]?.from_ms ?? Infinity) <= ms) low = middle + 1
      else high = middle
    }
    return offsets[low - 1]?.to_wall ?? null
  }
  const wallOf = (ms: number, at: number): number => {
    const offset = offsetAt(ms)
    return offset === null ? at * 1000 : Math.floor(ms + offset)
  }
  return {
    /** The first of a start, in a transaction of its own. */
    begin(now: number, wall: number): void {
      const row = { from_ms: now, to_wall: Math.round(wall - now) }
      save(row)
      offsets = load()
    },
    /** Looks whether the clocks have parted. */
    tick(now: number, wall: number): void {
      const to_wall = Math.round(wall - now)
      if (Math.abs(to_wall - (offsets.at(-1)?.to_wall ?? 0)) <= PARTED_MS) return
      const row = { from_ms: now, to_wall }
      save(row)
      later(() => {
        if (offsets.at(-1)?.from_ms === now) offsets.pop()
        offsets.push(row)
      })
    },
    /** When the service has started, or its clocks have parted, since then: Unix ms, the oldest first. */
    breaksSince: (since: number): number[] =>
      offsets.map(({ from_ms, to_wall }) => Math.floor(from_ms + to_wall)).filter((at) => at >= since),
    /**
     * Unix ms.
     * @param ms service clock
     * @param at the second of it by the wall clock: all that is known of what was before this was written down
     */
    wallOf,
    /** An attempt with its times by the wall clock. */
    onWall<A extends AttemptTimes>(a: A): A {
      const wall = <T extends number | null>(ms: T, at: number | null) =>
        (ms === null ? ms : wallOf(ms, at ?? a.assigned_at)) as T
      return {
        ...a,
        assigned_ms: wall(a.assigned_ms, a.assigned_at),
        accepted_ms: wall(a.accepted_ms, a.accepted_at),
        first_word_ms: wall(a.first_word_ms, a.ended_at),
        ended_ms: wall(a.ended_ms, a.ended_at),
      }
    },
  }
}
