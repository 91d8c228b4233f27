import { useEffect, useState } from 'preact/hooks'
import type { InferOutput } from 'valibot'
import type { alertsView, HealthView as Health, StatsView } from '../../../src/wire/service-answers.js'
import { can } from '../state/access.js'
import { useAnswer } from '../state/answer.js'
import { askText, downSince } from '../state/api.js'
import { resync } from '../state/feed.js'
import { readMetrics, type Metrics } from '../state/metrics.js'
import { bytes, duration, number, time } from '../parts/format.js'
import { Icon } from '../parts/icons.js'
import { Facts, Panel, Scroll, Trouble } from '../parts/notes.js'
import { words } from '../words/index.js'

type Alerts = InferOutput<typeof alertsView>

const HEALTH_MS = 5000

/** What is measured, where the service says it; null where it does not, or may not. */
function useMetrics(): Metrics | null {
  const [metrics, setMetrics] = useState<Metrics | null>(null)
  const { value: missed } = resync
  useEffect(() => {
    if (!can('metrics')) return
    let gone = false
    const look = async (): Promise<void> => {
      if (document.hidden) return
      const answer = await askText('/metrics')
      if (gone) return
      setMetrics(answer.ok ? readMetrics(answer.data) : null)
      // Where they are switched off, or listened for elsewhere, they are not asked for again.
      if (!answer.ok && answer.status !== 0 && answer.status < 429) clearInterval(timer)
    }
    const timer = setInterval(() => void look(), HEALTH_MS)
    void look()
    return () => {
      gone = true
      clearInterval(timer)
    }
  }, [missed])
  return metrics
}

/** `GET /health` is as good where it says 503: it has the same form. */
function State({ health, message }: { health: Health | null; message: string | null }) {
  const t = words.value
  if (downSince.value !== null)
    return (
      <p class="mark">
        <Icon name="cross" tone="failed" />
        {t.live.since(time(downSince.value))}
      </p>
    )
  if (health === null && message === null) return <p class="quiet">{t.loading}</p>
  const isWell = health?.status === 'healthy'
  return (
    <>
      <p class="mark big">
        <Icon name={isWell ? 'check' : 'cross'} tone={isWell ? 'completed' : 'failed'} />
        <b>{isWell ? t.health.healthy : t.health.unhealthy}</b>
      </p>
      {message !== null && <p>{message}</p>}
      {health?.warning !== undefined && (
        <p class="mark">
          <Icon name="warn" tone="pending" />
          {health.warning}
        </p>
      )}
    </>
  )
}

function AlertTable({ alerts }: { alerts: Alerts['alerts'] }) {
  const t = words.value
  if (alerts.length === 0) return <p class="quiet">{t.health.noAlerts}</p>
  return (
    <Scroll label={t.health.alerts}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t.health.what}</th>
            <th scope="col">{t.health.subject}</th>
            <th scope="col">{t.health.message}</th>
            <th scope="col" class="figure">
              {t.health.sinceWhen}
            </th>
            <th scope="col" class="figure">
              {t.health.last}
            </th>
            <th scope="col" class="figure">
              {t.health.times}
            </th>
          </tr>
        </thead>
        <tbody>
          {alerts.map((a) => (
            <tr key={`${a.kind} ${a.subject}`}>
              <th scope="row">{t.health.kinds[a.kind as keyof typeof t.health.kinds] ?? a.kind}</th>
              <td class="cut">{a.subject}</td>
              <td>{a.message}</td>
              <td class="figure">{time(a.since)}</td>
              <td class="figure">{time(a.last)}</td>
              <td class="figure">{number(a.times)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}

/** The mean of a histogram, seconds. */
const meanOf = (m: Metrics, name: string): number | null => {
  const count = m.get(`${name}_count`) ?? 0
  return count === 0 ? null : (m.get(`${name}_sum`) ?? 0) / count
}

function Measured({ metrics }: { metrics: Metrics }) {
  const t = words.value
  const fact = (label: string, name: string, show: (n: number) => string): readonly [string, string] | null => {
    const value = metrics.get(name)
    return value === undefined ? null : [label, show(value)]
  }
  const seconds = (label: string, value: number | null): readonly [string, string] | null =>
    value === null ? null : [label, duration(value)]
  const yesNo = (n: number): string => (n === 0 ? t.no : t.yes)
  return (
    <Facts
      rows={[
        fact(t.health.writable, 'inference_database_writable', yesNo),
        fact(t.health.overloaded, 'inference_overloaded', yesNo),
        fact(t.health.database, 'inference_database_bytes', bytes),
        fact(t.health.wal, 'inference_wal_bytes', bytes),
        fact(t.health.backup, 'inference_last_backup_timestamp_seconds', (s) => (s === 0 ? t.none : time(s * 1000))),
        fact(t.health.loop, 'nodejs_eventloop_lag_p99_seconds', duration),
        seconds(t.health.turn, meanOf(metrics, 'inference_turn_seconds')),
        seconds(t.health.fsync, meanOf(metrics, 'inference_fsync_seconds')),
        seconds(t.health.request, meanOf(metrics, 'inference_http_request_seconds')),
        fact(t.health.memory, 'process_resident_memory_bytes', bytes),
        fact(t.health.sessions, 'inference_sessions', number),
        fact(t.health.refused, 'inference_tasks_refused_total', number),
        fact(t.health.callbacksWaiting, 'inference_callbacks_waiting', number),
      ]}
    />
  )
}

function Counters({ stats }: { stats: StatsView }) {
  const t = words.value
  return (
    <>
      <Facts
        rows={[
          [t.health.uptime, duration(stats.uptime_seconds)],
          [t.health.total, number(stats.total_tasks)],
          [t.taskStatus.pending, number(stats.pending_tasks)],
          [t.taskStatus.in_progress, number(stats.processing_tasks)],
          [t.taskStatus.completed, number(stats.completed_tasks)],
          [t.taskStatus.submitted, number(stats.submitted_tasks)],
          [t.taskStatus.failed, number(stats.failed_tasks)],
          [t.taskStatus.timeout, number(stats.timeout_tasks)],
        ]}
      />
      {stats.settlements !== undefined && (
        <>
          <h3>{t.health.settlements}</h3>
          <Facts rows={Object.entries(stats.settlements).map(([state, n]) => [state, number(n)] as const)} />
        </>
      )}
      {stats.callbacks !== undefined && (
        <>
          <h3>{t.health.callbacks}</h3>
          <Facts rows={Object.entries(stats.callbacks).map(([state, n]) => [state, number(n)] as const)} />
        </>
      )}
    </>
  )
}

export function HealthView() {
  const t = words.value
  const health = useAnswer<Health>('/health', HEALTH_MS)
  const stats = useAnswer<StatsView>('/api/v1/stats', HEALTH_MS)
  const alerts = useAnswer<Alerts>(can('alerts') ? '/api/v1/alerts' : null, HEALTH_MS)
  const metrics = useMetrics()
  return (
    <main id="main">
      <h1>{t.nav.health}</h1>
      <Panel title={t.health.state}>
        <State health={health.data} message={health.failure === null ? null : health.failure.message} />
      </Panel>
      {can('alerts') && (
        <Panel title={t.health.alerts}>
          {alerts.data === null ? <Trouble failure={alerts.failure} /> : <AlertTable alerts={alerts.data.alerts} />}
        </Panel>
      )}
      {metrics !== null && (
        <Panel title={t.health.measured}>
          <Measured metrics={metrics} />
        </Panel>
      )}
      <Panel title={t.health.counters}>
        {stats.data === null ? <Trouble failure={stats.failure} /> : <Counters stats={stats.data} />}
      </Panel>
      <p>
        <a href="/docs">{t.health.docs}</a>
      </p>
    </main>
  )
}
