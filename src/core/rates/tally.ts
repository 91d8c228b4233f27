import { attemptEndNames, faults, type AttemptEnd, type Fault } from '../../rules/lifecycle.js'
import { bucketOf, histogramBounds, type HistogramName } from '../../rules/histograms.js'
import { createRing, emptyRow, type Ring, type Row } from './ring.js'
import { buckets, placeOf, sumPlaceOf, type Counter, type Sum } from './row.js'

/** Of 15 minutes each second is kept, and of 24 hours each minute. */
export const SECONDS = 900
export const MINUTES = 1440

/** One more for the ends that were nobody's fault. */
const FAULTS = faults.length + 1
/** How many kinds of ends of attempts there are. */
export const END_KINDS = attemptEndNames.length * FAULTS
export const endKind = (end: AttemptEnd, fault: Fault | null): number =>
  attemptEndNames.indexOf(end) * FAULTS + (fault === null ? 0 : faults.indexOf(fault) + 1)
export const endOfKind = (kind: number): { end: AttemptEnd; fault: Fault | null } => ({
  end: attemptEndNames[Math.floor(kind / FAULTS)] ?? 'failed',
  fault: faults[(kind % FAULTS) - 1] ?? null,
})

/** What a histogram holds beside its buckets. */
export interface HistogramTotal {
  buckets: Float64Array
  sum: number
}
const total = (name: HistogramName): HistogramTotal => ({
  buckets: new Float64Array(histogramBounds[name].length + 1),
  sum: 0,
})

export type Tally = ReturnType<typeof createTally>

/**
 * What is counted of one model: since the start, for the metrics, and by time, for charts. An observation is an addition to a few
 * arrays. The arrays of time are made at the first one: 0.45 MB.
 */
export function createTally(label: string) {
  const all = emptyRow()
  /** How often attempts ended in each way. */
  const ends = new Float64Array(END_KINDS)
  const totals = { wait: total('wait'), first_word: total('first_word'), run: total('run'), task: total('run') }
  let seconds: Ring | null = null
  let minutes: Ring | null = null

  const count = (at: number, wall: number): void => {
    seconds ??= createRing(SECONDS, true)
    minutes ??= createRing(MINUTES, false)
    const second = Math.floor(wall / 1000)
    seconds.count(second, at)
    minutes.count(Math.floor(second / 60), at)
  }
  const measure = ({ buckets: into }: HistogramTotal, name: HistogramName, ms: number): number => {
    const bucket = bucketOf(histogramBounds[name], ms / 1000)
    into[bucket] = (into[bucket] ?? 0) + 1
    return bucket
  }
  return {
    label,
    all,
    ends,
    totals,
    /** @param wall Unix ms */
    count(counter: Counter, wall: number): void {
      const at = placeOf(counter)
      all.counts[at] = (all.counts[at] ?? 0) + 1
      count(at, wall)
    },
    add(sum: Sum, n: number, wall: number): void {
      if (n === 0) return
      const at = sumPlaceOf(sum)
      all.sums[at] = (all.sums[at] ?? 0) + n
      seconds ??= createRing(SECONDS, true)
      minutes ??= createRing(MINUTES, false)
      const second = Math.floor(wall / 1000)
      seconds.add(second, at, n)
      minutes.add(Math.floor(second / 60), at, n)
    },
    /** How long something took. One that a clock makes less than nothing took no time. */
    observe(name: HistogramName, ms: number, wall: number): void {
      const took = Math.max(0, ms)
      const bucket = measure(totals[name], name, took)
      totals[name].sum += took / 1000
      count(buckets[name].from + bucket, wall)
    },
    /** From the submission to the end of a task: only for the metrics. */
    observeTask(ms: number): void {
      const took = Math.max(0, ms)
      measure(totals.task, 'run', took)
      totals.task.sum += took / 1000
    },
    ended(end: AttemptEnd, fault: Fault | null): void {
      const kind = endKind(end, fault)
      ends[kind] = (ends[kind] ?? 0) + 1
    },
    /** What happened before the start, by the minute: not among what is counted since. */
    past: {
      count(counter: Counter, wall: number): void {
        minutes ??= createRing(MINUTES, false)
        minutes.count(Math.floor(wall / 60_000), placeOf(counter))
      },
      add(sum: Sum, n: number, wall: number): void {
        minutes ??= createRing(MINUTES, false)
        minutes.add(Math.floor(wall / 60_000), sumPlaceOf(sum), n)
      },
      observe(name: HistogramName, ms: number, wall: number): void {
        minutes ??= createRing(MINUTES, false)
        const bucket = bucketOf(histogramBounds[name], Math.max(0, ms) / 1000)
        minutes.count(Math.floor(wall / 60_000), buckets[name].from + bucket)
      },
    },
    /** Adds the seconds from `from` to before `to` to a row; seconds since the Unix epoch. */
    addSeconds: (row: Row, from: number, to: number): void => seconds?.addTo(row, from, to),
    /** The same of minutes. */
    addMinutes: (row: Row, from: number, to: number): void => minutes?.addTo(row, from, to),
    /** What it is counted in; null: nothing has been counted. */
    seconds: (): Ring | null => seconds,
    minutes: (): Ring | null => minutes,
  }
}
