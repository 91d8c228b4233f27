import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso/router'
import type { ModelView, OverviewView as Overview, OverviewWindow } from '../../../src/wire/watch-answers.js'
import type { FeedTick } from '../../../src/wire/watch-events.js'
import { can } from '../state/access.js'
import { useAnswer } from '../state/answer.js'
import { tick } from '../state/feed.js'
import { duration, fullTime, modelName, number } from '../parts/format.js'
import { EndMark } from '../parts/status.js'
import { Empty, Panel, Trouble } from '../parts/notes.js'
import { paths, withQuery } from '../parts/paths.js'
import { sorted } from '../parts/sort.js'
import { words } from '../words/index.js'
import { isStranded, ModelTable } from './model-table.js'
import { OverviewCharts } from './overview-charts.js'

const windows = ['15m', '1h', '24h'] as const satisfies readonly OverviewWindow[]
/** How often what ticks do not tell is asked for, ms. */
const OVERVIEW_MS = 5000
const MODELS_MS = 5000
/** How often a screen reader is told the four numbers, ms. */
const TOLD_MS = 10_000

type Totals = FeedTick['totals']
/** What a tick says, from an overview: before the first tick, and where there are none. */
const totalsOf = (o: Overview): Totals => ({
  waiting: o.totals.pending_tasks,
  running: o.totals.processing_tasks,
  oldest_waiting_seconds: o.oldest_waiting_seconds,
  failed_1h: o.failed_1h,
  online_nodes: o.totals.online_nodes,
  busy_nodes: o.totals.busy_nodes,
  offline_nodes: o.totals.offline_nodes,
  maintenance_nodes: o.totals.maintenance_nodes,
  slots: o.slots,
  free_slots: o.free_slots,
})

function Figure({
  label,
  value,
  href,
  note,
  isBad = false,
}: {
  label: string
  value: string
  href: string
  note?: ComponentChildren
  isBad?: boolean
}) {
  return (
    <li class={isBad ? 'figure-box bad' : 'figure-box'}>
      <a href={href}>
        <span class="label">{label}</span>
        <span class="value">{value}</span>
      </a>
      <span class="note">{note}</span>
    </li>
  )
}

/** The four numbers for who hears them, not more often than every so many seconds. */
function Told({ text }: { text: string }) {
  const [told, setTold] = useState('')
  const latest = useRef(text)
  latest.current = text
  useEffect(() => {
    const timer = setInterval(() => setTold(latest.current), TOLD_MS)
    return () => clearInterval(timer)
  }, [])
  return (
    <p class="heard" aria-live="polite">
      {told}
    </p>
  )
}

/** Of which model the oldest waiting task is, and what keeps it. */
function whyOldest(models: readonly ModelView[]): string | undefined {
  const t = words.value
  const [oldest] = sorted(models, (m) => m.oldest_waiting_seconds, true)
  if (oldest === undefined || oldest.oldest_waiting_seconds === null) return undefined
  const name = modelName(oldest.model)
  return isStranded(oldest, models)
    ? t.overview.noNode(name)
    : oldest.nodes > 0 && oldest.free_slots === 0
      ? t.overview.allBusy(name)
      : name
}

function Figures({
  totals,
  completed,
  models,
}: {
  totals: Totals
  completed: number | null
  models: readonly ModelView[]
}) {
  const t = words.value
  const there = totals.online_nodes + totals.busy_nodes
  const failedShare = completed === null ? 0 : totals.failed_1h / Math.max(1, totals.failed_1h + completed)
  return (
    <div class="figure-rows">
      <ul class="figures first">
        <Figure
          label={t.overview.waiting}
          value={number(totals.waiting)}
          href={withQuery(paths.tasks, { status: 'pending' })}
          note={totals.waiting > 0 && there === 0 ? t.overview.nobody : undefined}
          isBad={totals.waiting > 0 && there === 0}
        />
        <Figure
          label={t.overview.running}
          value={number(totals.running)}
          href={withQuery(paths.tasks, { status: 'in_progress' })}
        />
        <Figure
          label={t.overview.oldest}
          value={duration(totals.oldest_waiting_seconds)}
          href={withQuery(paths.tasks, { status: 'pending' })}
          note={whyOldest(models)}
          isBad={(totals.oldest_waiting_seconds ?? 0) > 300}
        />
        <Figure
          label={t.overview.failed}
          value={number(totals.failed_1h)}
          href={withQuery(paths.tasks, { status: 'failed' })}
          note={completed === null ? undefined : t.overview.completed(number(completed))}
          isBad={totals.failed_1h > 0 && failedShare > 0.05}
        />
      </ul>
      <ul class="figures second">
        <Figure
          label={t.overview.nodes}
          value={`${number(there)} / ${number(there + totals.offline_nodes + totals.maintenance_nodes)}`}
          href={paths.nodes}
          note={t.overview.nodesNote(
            number(totals.busy_nodes),
            number(totals.maintenance_nodes),
            number(totals.offline_nodes),
          )}
        />
        <Figure
          label={t.overview.slots}
          value={`${number(totals.free_slots)} / ${number(totals.slots)}`}
          href={can('models') ? paths.fleet : paths.nodes}
        />
      </ul>
      <Told
        text={t.overview.told(
          number(totals.waiting),
          number(totals.running),
          duration(totals.oldest_waiting_seconds),
          number(totals.failed_1h),
        )}
      />
    </div>
  )
}

function Failures({ failures }: { failures: Overview['failures'] }) {
  const t = words.value
  if (failures.length === 0) return <p class="quiet failures">{t.overview.noFailures}</p>
  return (
    <table class="small failures">
      <thead>
        <tr>
          <th scope="col">{t.overview.end}</th>
          <th scope="col" class="figure">
            {t.overview.count}
          </th>
        </tr>
      </thead>
      <tbody>
        {failures.map(({ end, fault, count }) => (
          <tr key={`${end} ${fault}`}>
            <td>
              <EndMark end={end} fault={fault} />
            </td>
            <td class="figure">{number(count)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** A model with what the newest tick says of it. */
function withTick(models: readonly ModelView[], newest: FeedTick | null): readonly ModelView[] {
  if (newest === null) return models
  const ticks = new Map(newest.models.map((m) => [m.model, m]))
  return models.map((m) => {
    const now = { ...m, ...ticks.get(m.model) }
    // What was asked for some seconds ago must not contradict it.
    return now.free_slots > 0 && now.waiting === 0 ? { ...now, eta_seconds: 0 } : now
  })
}

export function OverviewView() {
  const t = words.value
  const { query, path } = useLocation()
  const window = windows.find((w) => w === query['window']) ?? '15m'
  const model = query['model'] ?? null
  const overview = useAnswer<Overview>(withQuery('/api/v1/overview', { window, model }), OVERVIEW_MS)
  const models = useAnswer<ModelView[]>('/api/v1/models', MODELS_MS)
  // The figures of the page are those of all models.
  const newest = tick.value
  const { data } = overview
  const shownModels = withTick(models.data ?? [], newest)
  const totals = newest?.totals ?? (data === null ? null : totalsOf(data))
  const isUnused = data !== null && data.totals.total_tasks === 0 && data.totals.total_nodes === 0
  return (
    <main id="main" class="overview">
      <h1 class="heard">{t.nav.overview}</h1>
      {totals === null ? (
        <Trouble failure={overview.failure} />
      ) : (
        <Figures totals={totals} completed={data?.completed_1h ?? null} models={shownModels} />
      )}
      {isUnused && (
        <Empty title={t.overview.unused} command={START_NODE}>
          {t.overview.unusedWhy}
        </Empty>
      )}
      {shownModels.length > 0 && (
        <Panel title={t.models.title}>
          <ModelTable models={shownModels} />
        </Panel>
      )}
      {data !== null && !isUnused && (
        <Panel
          title={model === null ? t.overview.charts : t.overview.chartsOf(modelName(model))}
          beside={
            <div class="choices" role="group" aria-label={t.overview.window}>
              {windows.map((w) => (
                <a
                  href={withQuery(path, { ...query, window: w })}
                  aria-current={w === window ? 'true' : undefined}
                  key={w}
                >
                  {t.overview.windows[w]}
                </a>
              ))}
              {model !== null && <a href={withQuery(path, { ...query, model: null })}>{t.overview.allModels}</a>}
            </div>
          }
        >
          <OverviewCharts series={data.series} breaks={data.breaks_ms} />
          <p class="quiet">{t.overview.since(fullTime(data.started_ms))}</p>
        </Panel>
      )}
      {data !== null && !isUnused && (
        <Panel title={t.overview.failures(t.overview.windows[window])}>
          <Failures failures={data.failures} />
        </Panel>
      )}
    </main>
  )
}

const START_NODE =
  'npx stacks-signer run-inference-node --coordinator ' +
  location.origin +
  ' --model llama-3-8b=llama3:8b --base-url http://127.0.0.1:11434/v1'
