import { histogramBounds, type HistogramName } from '../../rules/histograms.js'

// What is counted of a model, as numbers in a row: the places of each in the arrays that hold them.

/** What is counted one by one. */
export const counters = ['submitted', 'started', 'completed', 'failed', 'timeout', 'cancelled', 'requeued'] as const
export type Counter = (typeof counters)[number]
/** What is added up. `waiting`: how many more wait. */
export const sums = ['fees', 'prompt_tokens', 'completion_tokens', 'waiting'] as const
export type Sum = (typeof sums)[number]

const WAIT = counters.length
const FIRST_WORD = WAIT + histogramBounds.wait.length + 1
const RUN = FIRST_WORD + histogramBounds.first_word.length + 1
const END = RUN + histogramBounds.run.length + 1
/** Where the buckets of each histogram begin and end in a row. */
export const buckets: Readonly<Record<HistogramName, { from: number; to: number }>> = {
  wait: { from: WAIT, to: FIRST_WORD },
  first_word: { from: FIRST_WORD, to: RUN },
  run: { from: RUN, to: END },
}

/** How long the part of a row is that counts. */
export const ROW_COUNTS = END
export const ROW_SUMS = sums.length

export const placeOf = (counter: Counter): number => counters.indexOf(counter)
export const sumPlaceOf = (sum: Sum): number => sums.indexOf(sum)
