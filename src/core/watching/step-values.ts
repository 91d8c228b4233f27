import { overviewWindows, type OverviewWindow } from '../../wire/watch-answers.js'
import type { Ring } from '../rates/ring.js'
import type { Tally } from '../rates/tally.js'

const MINUTE = 60

/** The steps of a window. Times: Unix seconds. */
export interface Steps {
  /** When the one begins that is not over yet: the last. */
  open: number
  /** When each ends. */
  ends: readonly number[]
  step: number
}

/** @param wall Unix ms */
export function stepsAt(window: OverviewWindow, wall: number): Steps {
  const { seconds, step } = overviewWindows[window]
  const open = Math.floor(wall / 1000 / step) * step
  const ends = Array.from({ length: seconds / step }, (_, i) => open + step - seconds + (i + 1) * step)
  return { open, ends, step }
}

interface Kept<T> {
  revision: number
  /** When the last of them ends, Unix seconds. */
  through: number
  values: T[]
}

/**
 * What each step of a window comes to. What a step that is over came to is made once and kept, 0.15 MB a tally for all windows, until
 * something is counted in one of them after all: a clock that was set back does that, and the last day that is read again after a start.
 * @param read what the seconds or minutes of a ring from `from` to before `to` come to; null: nothing was ever counted
 */
export function createStepValues<T>(read: (ring: Ring | null, from: number, to: number) => T) {
  const kept = new WeakMap<Tally, Kept<T>>()

  /** Of one window only: what is kept are its steps. */
  return (tally: Tally, { open, ends, step }: Steps): T[] => {
    const unit = step < MINUTE ? 1 : MINUTE
    const ring = unit === MINUTE ? tally.minutes() : tally.seconds()
    const readStep = (end: number): T => read(ring, (end - step) / unit, end / unit)
    const revision = ring?.close(open / unit) ?? -1
    const before = kept.get(tally)
    const isGood = before !== undefined && before.revision === revision && before.through <= open
    const known = isGood ? before : { through: 0, values: [] }
    const fresh = ends.filter((end) => end > known.through && end <= open).map(readStep)
    const values = [...known.values, ...fresh].slice(1 - ends.length)
    kept.set(tally, { revision, through: open, values })
    return [...values, readStep(open + step)]
  }
}
