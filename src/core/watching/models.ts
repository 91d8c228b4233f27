import { histogramBounds, quantile, type HistogramName } from '../../rules/histograms.js'
import { UNKNOWN } from '../../rules/models.js'
import type { ModelView } from '../../wire/watch-answers.js'
import type { Context } from '../context.js'
import type { Standings } from '../rates/queue.js'
import { emptyRow, type Row } from '../rates/ring.js'
import { buckets, placeOf, sumPlaceOf, type Counter, type Sum } from '../rates/row.js'
import type { Tally } from '../rates/tally.js'
import type { SlotCounts, Slots } from './slots.js'

/** The window of the middle and the slow end, minutes. */
const QUANTILE_MINUTES = 15
const HOUR_MINUTES = 60
/** The window of rates, seconds. */
const RATE_SECONDS = 60

export const countOf = (row: Row, counter: Counter): number => row.counts[placeOf(counter)] ?? 0
export const sumOf = (row: Row, sum: Sum): number => row.sums[sumPlaceOf(sum)] ?? 0
/** What a share of what was measured does not pass, seconds; null where nothing was. */
export const quantileOf = (row: Row, name: HistogramName, share: number): number | null =>
  quantile(histogramBounds[name], row.counts.subarray(buckets[name].from, buckets[name].to), share)
/** The middle and the slow end of a row. */
export const quantilesOf = (row: Row) => ({
  wait_p50: quantileOf(row, 'wait', 0.5),
  wait_p95: quantileOf(row, 'wait', 0.95),
  first_word_p50: quantileOf(row, 'first_word', 0.5),
  first_word_p95: quantileOf(row, 'first_word', 0.95),
  run_p50: quantileOf(row, 'run', 0.5),
  run_p95: quantileOf(row, 'run', 0.95),
})

/** Since when something waits, as seconds until now; null where nothing does. @param since service clock, ms */
export const ageOf = (since: number | null, now: number): number | null =>
  since === null ? null : Math.max(0, (now - since) / 1000)

/** What was counted in the last minutes, with the one that is not over yet. @param wall Unix ms */
export function lastMinutes(tally: Tally, minutes: number, wall: number): Row {
  const row = emptyRow()
  const end = Math.floor(wall / 60_000) + 1
  tally.addMinutes(row, end - minutes, end)
  return row
}

const NO_SLOTS: Slots = { nodes: 0, slots: 0, free_slots: 0 }
const NO_STANDINGS: Standings = { waiting: 0, running: 0, oldest: null }
export type ModelLine = Pick<
  ModelView,
  'model' | 'nodes' | 'slots' | 'free_slots' | 'waiting' | 'oldest_waiting_seconds' | 'running' | 'rate_1m'
>

export type Models = ReturnType<typeof createModels>

/** How each model stands. */
export function createModels(ctx: Context, slotCounts: SlotCounts) {
  const { rates } = ctx.figures
  const startedAt = ctx.wall

  /** What was counted in the last whole seconds, and how many of them the service has been there. */
  const lastSeconds = (tally: Tally): { row: Row; seconds: number } => {
    const row = emptyRow()
    const end = Math.floor(ctx.wall / 1000)
    tally.addSeconds(row, end - RATE_SECONDS, end)
    return { row, seconds: Math.min(RATE_SECONDS, Math.max(1, (ctx.wall - startedAt) / 1000)) }
  }
  /** What there is of nodes and queues, by tally. */
  const standings = () => ({ slots: slotCounts(ctx.now), queue: rates.queue.byTally() })
  type Standing = ReturnType<typeof standings>

  const line = (tally: Tally, { slots, queue }: Standing, recent = lastSeconds(tally)): ModelLine => {
    const { waiting, running, oldest } = queue.get(tally) ?? NO_STANDINGS
    return {
      model: tally.label,
      ...(slots.byTally.get(tally) ?? NO_SLOTS),
      waiting,
      oldest_waiting_seconds: ageOf(oldest, ctx.now),
      running,
      rate_1m: countOf(recent.row, 'completed') / recent.seconds,
    }
  }
  /**
   * Seconds until a new task is likely to be begun: by how many were begun in the last seconds, or by how long one takes where that is
   * less, for with few tasks few are begun.
   */
  const eta = (
    { nodes, slots, free_slots, waiting }: ModelLine,
    { started, seconds, run }: { started: number; seconds: number; run: number | null },
  ): number | null => {
    if (nodes === 0) return null
    if (free_slots > 0 && waiting === 0) return 0
    const byRate = started === 0 ? Infinity : ((waiting + 1) * seconds) / started
    const byRun = run === null ? Infinity : ((waiting + 1) * run) / slots
    const least = Math.min(byRate, byRun)
    return least === Infinity ? null : least
  }
  const familyOf = (tally: Tally): string | null => {
    const family = tally === rates.labels.other ? UNKNOWN : ctx.models.familyOf(tally.label)
    return family === UNKNOWN ? null : family
  }
  const view = (tally: Tally, standing: Standing): ModelView => {
    const recent = lastSeconds(tally)
    const hour = lastMinutes(tally, HOUR_MINUTES, ctx.wall)
    const row = line(tally, standing, recent)
    const quantiles = quantilesOf(lastMinutes(tally, QUANTILE_MINUTES, ctx.wall))
    return {
      ...row,
      family: familyOf(tally),
      ...quantiles,
      tokens_per_second: sumOf(recent.row, 'completion_tokens') / recent.seconds,
      eta_seconds: eta(row, {
        started: countOf(recent.row, 'started'),
        seconds: recent.seconds,
        run: quantiles.run_p50,
      }),
      completed_1h: countOf(hour, 'completed'),
      failed_1h: countOf(hour, 'failed') + countOf(hour, 'timeout'),
    }
  }
  /** Those that are not of one name are shown where they have something to show; the nodes of a family are there under their names. */
  const isShown = ({ nodes, waiting, running, rate_1m }: ModelLine, tally: Tally): boolean =>
    rates.labels.isOwn(tally) || waiting + running + rate_1m > 0 || (tally === rates.labels.other && nodes > 0)
  const busiest = (a: ModelLine, b: ModelLine): number =>
    b.waiting + b.running - (a.waiting + a.running) || b.rate_1m - a.rate_1m || (a.model < b.model ? -1 : 1)

  return {
    standings,
    NO_SLOTS,
    NO_STANDINGS,
    /** Every model, as `GET /api/v1/models` has it. */
    views(): ModelView[] {
      const standing = standings()
      return rates.labels
        .all()
        .map((tally) => ({ tally, row: view(tally, standing) }))
        .filter(({ tally, row }) => isShown(row, tally))
        .map(({ row }) => row)
        .sort(busiest)
    },
    /** The same, as much of it as is told each second. */
    lines(standing: Standing): ModelLine[] {
      return rates.labels
        .all()
        .map((tally) => ({ tally, row: line(tally, standing) }))
        .filter(({ tally, row }) => isShown(row, tally))
        .map(({ row }) => row)
        .sort(busiest)
    },
  }
}
