import { useMemo } from 'preact/hooks'
import type { SeriesView } from '../../../src/wire/watch-answers.js'
import { Chart } from '../parts/chart.js'
import { duration, modelName, number, rate } from '../parts/format.js'
import { words } from '../words/index.js'

/** Colours of queues, by their place: apart for who sees few colours. */
const QUEUE_COLOURS = ['--q1', '--q2', '--q3', '--q4', '--q5', '--q6', '--q7', '--q8']

/** What happened in each step, as charts. */
export function OverviewCharts({ series, breaks }: { series: SeriesView; breaks: readonly number[] }) {
  const t = words.value
  const common = { fromMs: series.from_ms, stepMs: series.step_seconds * 1000, marks: breaks }
  const lines = useMemo(() => {
    // The last step is not over: as a rate it would always fall.
    const perSecond = (counts: readonly number[]) =>
      counts.map((n, i) => (i === counts.length - 1 ? null : n / series.step_seconds))
    return {
      ended: [
        { label: t.taskStatus.completed, colour: '--completed', values: perSecond(series.completed) },
        { label: t.taskStatus.failed, colour: '--failed', values: perSecond(series.failed), dash: [6, 3] },
        { label: t.taskStatus.timeout, colour: '--timeout', values: perSecond(series.timeout), dash: [2, 3] },
        { label: t.ends.cancelled, colour: '--pending', values: perSecond(series.cancelled), dash: [10, 4] },
      ],
      wait: [
        { label: t.chart.p50, colour: '--in_progress', values: series.wait_p50 },
        { label: t.chart.p95, colour: '--failed', values: series.wait_p95, dash: [6, 3] },
      ],
      firstWord: [
        { label: t.chart.p50, colour: '--in_progress', values: series.first_word_p50 },
        { label: t.chart.p95, colour: '--failed', values: series.first_word_p95, dash: [6, 3] },
      ],
      queue: series.waiting.map(({ model, counts }, i) => ({
        label: modelName(model),
        colour: QUEUE_COLOURS[i % QUEUE_COLOURS.length] ?? '--q1',
        values: counts,
      })),
    }
  }, [series, t])
  return (
    <div class="charts">
      <Chart title={t.chart.ended} lines={lines.ended} show={(v) => rate(v)} {...common} />
      <Chart title={t.chart.queue} lines={lines.queue} show={(v) => number(v)} stacked whole {...common} />
      <Chart title={t.chart.wait} lines={lines.wait} show={(v) => duration(v)} {...common} />
      <Chart title={t.chart.firstWord} lines={lines.firstWord} show={(v) => duration(v)} {...common} />
    </div>
  )
}
