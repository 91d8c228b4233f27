import { done, refuse, type Outcome } from '../../lib/result.js'
import { overviewWindows, type OverviewWindow, type SeriesView } from '../../wire/watch-answers.js'
import type { Context } from '../context.js'
import type { Stats } from '../operations.js'
import { emptyRow, type Ring } from '../rates/ring.js'
import { OTHER } from '../rates/labels.js'
import { sumPlaceOf } from '../rates/row.js'
import type { Tally } from '../rates/tally.js'
import { ageOf, countOf, lastMinutes, quantilesOf, sumOf, type Models } from './models.js'
import type { WatchResults } from './reports.js'
import { createStepValues, stepsAt, type Steps } from './step-values.js'

const HOUR_MINUTES = 60
const MINUTE = 60
/** How long back marks are told, and so many of them. */
const DAY_MS = 86_400_000
const MAX_BREAKS = 100
/** So many queues are shown each by itself. */
const MAX_QUEUES = 8

const byWindow = <T>(make: () => T): Record<OverviewWindow, T> => ({ '15m': make(), '1h': make(), '24h': make() })

/** What the series say of a step. */
const figuresOf = (ring: Ring | null, from: number, to: number) => {
  const row = emptyRow()
  ring?.addTo(row, from, to)
  return {
    submitted: countOf(row, 'submitted'),
    started: countOf(row, 'started'),
    completed: countOf(row, 'completed'),
    failed: countOf(row, 'failed'),
    timeout: countOf(row, 'timeout'),
    cancelled: countOf(row, 'cancelled'),
    requeued: countOf(row, 'requeued'),
    fees: sumOf(row, 'fees'),
    prompt_tokens: sumOf(row, 'prompt_tokens'),
    completion_tokens: sumOf(row, 'completion_tokens'),
    ...quantilesOf(row),
  }
}
type Figures = ReturnType<typeof figuresOf>
/** How many more waited at its end than at its beginning. */
const waitingOf = (ring: Ring | null, from: number, to: number): number =>
  ring?.sum(sumPlaceOf('waiting'), from, to) ?? 0

/** The service as a whole, and how it was. */
export function createOverview(ctx: Context, { models, stats }: { models: Models; stats: () => Stats }) {
  const { rates } = ctx.figures
  const started_ms = Math.floor(ctx.wall)

  const figures = byWindow(() => createStepValues(figuresOf))
  const changes = byWindow(() => createStepValues(waitingOf))

  /** How long queues were at the end of each step: from how long they are now, back by what came and went. */
  const queues = (tallies: readonly Tally[], window: OverviewWindow, steps: Steps): SeriesView['waiting'] => {
    const { ends } = steps
    const now = rates.queue.byTally()
    const isBefore = ends.map((end) => end * 1000 < started_ms)
    const all = tallies.flatMap((tally) => {
      let waiting = now.get(tally)?.waiting ?? 0
      const changed = changes[window](tally, steps)
      const counts = new Array<number>(ends.length).fill(0)
      for (let i = ends.length - 1; i >= 0; i--) {
        counts[i] = Math.max(0, waiting)
        if (isBefore[i] !== true) waiting -= changed[i] ?? 0
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
    const steps = stepsAt(window, ctx.wall)
    const { step } = steps
    const values = figures[window](tally, steps)
    const column = <K extends keyof Figures>(name: K): Figures[K][] => values.map((of) => of[name])
    return {
      from_ms: (steps.open + step - overviewWindows[window].seconds) * 1000,
      step_seconds: step,
      submitted: column('submitted'),
      started: column('started'),
      completed: column('completed'),
      failed: column('failed'),
      timeout: column('timeout'),
      cancelled: column('cancelled'),
      requeued: column('requeued'),
      fees: column('fees'),
      prompt_tokens: column('prompt_tokens'),
      completion_tokens: column('completion_tokens'),
      wait_p50: column('wait_p50'),
      wait_p95: column('wait_p95'),
      first_word_p50: column('first_word_p50'),
      first_word_p95: column('first_word_p95'),
      run_p50: column('run_p50'),
      run_p95: column('run_p95'),
      waiting: queues(tallies, window, steps),
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
