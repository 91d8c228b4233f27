import type { InferOutput } from 'valibot'
import type { alertsView, HealthView as Health, StatsView } from '../../../src/wire/service-answers.js'
import type { ConfigurationView } from '../../../src/wire/watch-answers.js'
import { can } from '../state/access.js'
import { useAnswer } from '../state/answer.js'
import { downSince } from '../state/api.js'
import { duration, number, time } from '../parts/format.js'
import { Icon } from '../parts/icons.js'
import { Facts, Panel, Scroll, Trouble } from '../parts/notes.js'
import { words } from '../words/index.js'
import { Cluster } from './cluster.js'
import { Measures } from './measures.js'
import { Settings } from './settings.js'

type Alerts = InferOutput<typeof alertsView>

const HEALTH_MS = 5000

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

function Counters({ stats }: { stats: StatsView }) {
  const t = words.value
  return (
    <>
      <Facts
        rows={[
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
  // It changes with a restart only, after which everything is asked for again.
  const configuration = useAnswer<ConfigurationView>(can('configuration') ? '/api/v1/configuration' : null)
  return (
    <main id="main">
      <h1>{t.nav.health}</h1>
      <Panel title={t.health.state}>
        <State health={health.data} message={health.failure === null ? null : health.failure.message} />
        <Facts
          rows={[
            stats.data === null ? null : [t.health.uptime, duration(stats.data.uptime_seconds)],
            configuration.data === null ? null : [t.health.version, configuration.data.version],
            configuration.data === null ? null : ['Node.js', configuration.data.runtime.replace(/^v/, '')],
          ]}
        />
      </Panel>
      {health.data?.cluster !== undefined && <Cluster cluster={health.data.cluster} />}
      {can('alerts') && (
        <Panel title={t.health.alerts}>
          {alerts.data === null ? <Trouble failure={alerts.failure} /> : <AlertTable alerts={alerts.data.alerts} />}
        </Panel>
      )}
      {can('metrics') && <Measures everyMs={HEALTH_MS} />}
      <Panel title={t.health.counters}>
        {stats.data === null ? <Trouble failure={stats.failure} /> : <Counters stats={stats.data} />}
      </Panel>
      {can('configuration') && (
        <Panel title={t.health.configuration}>
          {configuration.data === null ? (
            <Trouble failure={configuration.failure} />
          ) : (
            <Settings settings={configuration.data.settings} />
          )}
        </Panel>
      )}
      <p>
        <a href="/docs">{t.health.docs}</a>
      </p>
    </main>
  )
}
