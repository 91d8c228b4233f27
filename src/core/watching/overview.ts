import { done, refuse, type Outcome } from '../../lib/result.js'
import { overviewWindows, type OverviewWindow, type SeriesView } from '../../wire/watch-answers.js'
import type { Context } from '../context.js'
import type { Stats } from '../operations.js'
import { emptyRow, type Row } from '../rates/ring.js'
import { OTHER } from '../rates/labels.js'
import { counters } from '../rates/row.js'
import type { Tally } from '../rates/tally.js'
import { ageOf, countOf, lastMinutes, quantilesOf, sumOf, type Models } from './models.js'
import type { WatchResults } from './reports.js'

const HOUR_MINUTES = 60
const MINUTE = 60
/** How long back marks are told, and so many of them. */
const DAY_MS = 86_400_000
const MAX_BREAKS = 100
/** So many queues are shown each by itself. */
const MAX_QUEUES = 8

/** The service as a whole, and how it was. */
export function createOverview(ctx: Context, { models, stats }: { models: Models; stats: () => Stats }) {
  const { rates } = ctx.figures
  const started_ms = Math.floor(ctx.wall)

  /** A step of a series. `from`, `to`: Unix seconds. */
  const addTo = (row: Row, tally: Tally, from: number, to: number, step: number): void => {
    if (step < MINUTE) tally.addSeconds(row, from, to)
    else tally.addMinutes(row, from / MINUTE, to / MINUTE)
  }
  const waitingIn = (tally: Tally, from: number, to: number, step: number): number =>
    step < MINUTE ? tally.waitingOfSeconds(from, to) : tally.waitingOfMinutes(from / MINUTE, to / MINUTE)

  /** How long queues were at the end of each step: from how long they are now, back by what came and went. */
  const queues = (tallies: readonly Tally[], ends: readonly number[], step: number): SeriesView['waiting'] => {
    const now = rates.queue.byTally()
    const isBefore = ends.map((end) => end * 1000 < started_ms)
    const all = tallies.flatMap((tally) => {
      let waiting = now.get(tally)?.waiting ?? 0
      const counts = new Array<number>(ends.length).fill(0)
      for (let i = ends.length - 1; i >= 0; i--) {
        counts[i] = Math.max(0, waiting)
        const end = ends[i] ?? 0
        if (isBefore[i] !== true) waiting -= waitingIn(tally, end - step, end, step)
      }
      const most = Math.max(...counts)
      return most === 0 ? [] : [{ model: tally.label, counts, most }]
    })
    const byLength = all.sort((a, b) => b.most - a.most)
    const isRest = ({ model }: { model: string }, i: number): boolean => i >= MAX_QUEUES || model === OTHER
    const rest = byLength.filter(isRest)
    const shown = byLength.filter((queue, i) => !isRest(queue, i))
    const other = { model: OTHER, counts: ends.map((_, i) => rest.reduce((n, { counts }) => n + (counts[i] ?? 0), 0)) }
    return [...shown, ...(rest.length === 0 ? [] : [other])].map(({ model, counts }) => ({
      model,
      counts: counts.map((n, i) => (isBefore[i] === true ? null : n)),
    }))
  }

  const series = (tally: Tally, tallies: readonly Tally[], window: OverviewWindow): SeriesView => {
    const { seconds, step } = overviewWindows[window]
    const last = (Math.floor(ctx.wall / 1000 / step) + 1) * step
    const ends = Array.from({ length: seconds / step }, (_, i) => last - seconds + (i + 1) * step)
    const rows = ends.map((end) => {
      const row = emptyRow()
      addTo(row, tally, end - step, end, step)
      return row
    })
    const quantiles = rows.map(quantilesOf)
    type Quantile = keyof ReturnType<typeof quantilesOf>
    const mean = (name: Quantile): (number | null)[] => quantiles.map((q) => q[name])
    const counted = Object.fromEntries(
      counters.map((counter) => [counter, rows.map((row) => countOf(row, counter))]),
    ) as Record<(typeof counters)[number], number[]>
    return {
      from_ms: (last - seconds) * 1000,
      step_seconds: step,
      ...counted,
      fees: rows.map((row) => sumOf(row, 'fees')),
      prompt_tokens: rows.map((row) => sumOf(row, 'prompt_tokens')),
      completion_tokens: rows.map((row) => sumOf(row, 'completion_tokens')),
      wait_p50: mean('wait_p50'),
      wait_p95: mean('wait_p95'),
      first_word_p50: mean('first_word_p50'),
      first_word_p95: mean('first_word_p95'),
      run_p50: mean('run_p50'),
      run_p95: mean('run_p95'),
      waiting: queues(tallies, ends, step),
    }
  }

  /** The numbers that are looked at first. */
  const now = () => {
    const hour = lastMinutes(rates.total, HOUR_MINUTES, ctx.wall)
    return {
      oldest_waiting_seconds: ageOf(ctx.store.tasks.oldestAfter(-1), ctx.now),
      failed_1h: countOf(hour, 'failed') + countOf(hour, 'timeout'),
      completed_1h: countOf(hour, 'completed'),
    }
  }

  return {
    now,
    /** @param label a model of GET /api/v1/models; null for all of them */
    view(window: OverviewWindow, label: string | null): Outcome<WatchResults['overview']> {
      const found = label === null ? rates.total : rates.labels.find(label)
      if (found === undefined)
        return refuse(
          'not_found',
          `model: ${label} is not among the models of GET /api/v1/models; leave it out for all`,
        )
      const { slots } = models.standings()
      const end = Math.floor(ctx.wall / 60_000) + 1
      return done({
        started_ms,
        breaks_ms: ctx.moments.breaksSince(ctx.wall - DAY_MS).slice(-MAX_BREAKS),
        totals: stats(),
        ...now(),
        slots: slots.all.slots,
        free_slots: slots.all.free_slots,
        series: series(found, label === null ? rates.labels.all() : [found], window),
        failures: rates.failures(end - overviewWindows[window].seconds / MINUTE, end),
      })
    },
  }
}
