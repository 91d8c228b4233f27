import { ROW_COUNTS, ROW_SUMS } from './row.js'

/** What came of some steps, added up. */
export interface Row {
  counts: Float64Array
  sums: Float64Array
}
export const emptyRow = (): Row => ({ counts: new Float64Array(ROW_COUNTS), sums: new Float64Array(ROW_SUMS) })

export type Ring = ReturnType<typeof createRing>

/**
 * Rows of the newest steps of time, in typed arrays: their size is fixed, and nothing is ever moved. A step is known by its
 * number; what is in its place and has another number is over, and counts as nothing.
 * @param places how many steps are kept
 * @param narrow a step counts up to 65,535 of each; it stops there
 */
export function createRing(places: number, narrow: boolean) {
  const counts = narrow ? new Uint16Array(places * ROW_COUNTS) : new Uint32Array(places * ROW_COUNTS)
  const most = narrow ? 0xffff : 0xffffffff
  const sums = new Float64Array(places * ROW_SUMS)
  const steps = new Float64Array(places).fill(-1)
  /** Somebody keeps what the steps before this one came to. */
  let closed = 0
  let revision = 0

  /** The place of a step, empty where another was in it. */
  const placeFor = (step: number): number => {
    const place = step % places
    if (step < closed) {
      revision++
      closed = 0
    }
    if (steps[place] !== step) {
      steps[place] = step
      counts.fill(0, place * ROW_COUNTS, (place + 1) * ROW_COUNTS)
      sums.fill(0, place * ROW_SUMS, (place + 1) * ROW_SUMS)
    }
    return place
  }
  return {
    count(step: number, at: number): void {
      const i = placeFor(step) * ROW_COUNTS + at
      const n = counts[i] ?? 0
      if (n < most) counts[i] = n + 1
    },
    add(step: number, at: number, n: number): void {
      const i = placeFor(step) * ROW_SUMS + at
      sums[i] = (sums[i] ?? 0) + n
    },
    /**
     * To be asked before what the steps before this one came to is read and kept.
     * @returns another number than before once one of those that are kept has changed
     */
    close(step: number): number {
      closed = Math.max(closed, step)
      return revision
    },
    /** What was added up in the steps from `from` to before `to`. */
    sum(at: number, from: number, to: number): number {
      let sum = 0
      for (let step = Math.max(from, to - places, 0); step < to; step++) {
        const place = step % places
        if (steps[place] === step) sum += sums[place * ROW_SUMS + at] ?? 0
      }
      return sum
    },
    /** Adds the steps from `from` to before `to` to a row. Of more than there are places the newest count. */
    addTo(row: Row, from: number, to: number): void {
      for (let step = Math.max(from, to - places, 0); step < to; step++) {
        const place = step % places
        if (steps[place] !== step) continue
        for (let i = 0; i < ROW_COUNTS; i++)
          row.counts[i] = (row.counts[i] ?? 0) + (counts[place * ROW_COUNTS + i] ?? 0)
        for (let i = 0; i < ROW_SUMS; i++) row.sums[i] = (row.sums[i] ?? 0) + (sums[place * ROW_SUMS + i] ?? 0)
      }
    },
  }
}
