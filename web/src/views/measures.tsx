import { useEffect, useState } from 'preact/hooks'
import { askText } from '../state/api.js'
import { resync } from '../state/feed.js'
import { readMetrics, sumOfAnswers, type Metrics } from '../state/metrics.js'
import { bytes, duration, NONE, number, percent, rate } from '../parts/format.js'
import { Icon } from '../parts/icons.js'
import { Facts, Panel, Scroll } from '../parts/notes.js'
import { words } from '../words/index.js'

/** Means are of so many of the newest answers: a minute, as long as this is looked at. */
const KEPT = 13

/** The answers of `/metrics` since the view was opened, the newest last; null where the service tells none. */
function useMetrics(everyMs: number): readonly Metrics[] | null {
  const [kept, setKept] = useState<readonly Metrics[] | null>([])
  const { value: missed } = resync
  useEffect(() => {
    let gone = false
    const look = async (): Promise<void> => {
      if (document.hidden) return
      const answer = await askText('/metrics')
      if (gone) return
      if (answer.ok) setKept((last) => [...(last ?? []), readMetrics(answer.data)].slice(-KEPT))
      // Where they are switched off they are not asked for again.
      else if (answer.status !== 0 && answer.status < 429) {
        setKept(null)
        clearInterval(timer)
      }
    }
    const timer = setInterval(() => void look(), everyMs)
    void look()
    return () => {
      gone = true
      clearInterval(timer)
    }
  }, [missed])
  return kept
}

/** The mean of a histogram since the oldest answer that is kept; since the start of the service with the first one, and after a restart. */
function meanOf(kept: readonly Metrics[], name: string, sum = sumOf): number | null {
  const [first, last] = [kept[0], kept.at(-1)]
  const at = (metrics: Metrics | undefined, part: string): number => sum(metrics, name + part)
  const grown = (part: string): number => at(last, part) - at(first, part)
  const whole = kept.length < 2 || grown('_count') <= 0
  const count = whole ? at(last, '_count') : grown('_count')
  return count === 0 ? null : (whole ? at(last, '_sum') : grown('_sum')) / count
}
const sumOf = (metrics: Metrics | undefined, name: string): number => metrics?.sum(name) ?? 0

/** Node.js looks at the delay of its loop in steps of 10 ms, and counts the step itself. */
const LOOP_STEP = 0.01

function Measured({ kept }: { kept: readonly Metrics[] }) {
  const t = words.value
  const last = kept.at(-1)
  const fact = (label: string, name: string, show: (n: number) => string): readonly [string, string] | null => {
    const value = last?.sum(name)
    return value === undefined ? null : [label, show(value)]
  }
  const mean = (
    label: string,
    name: string,
    show: (n: number) => string,
    sum?: typeof sumOf,
  ): readonly [string, string] => {
    const value = meanOf(kept, name, sum)
    return [label, value === null ? NONE : show(value)]
  }
  const yesNo = (n: number): string => (n === 0 ? t.no : t.yes)
  const backup = last?.sum('inference_last_backup_timestamp_seconds')
  const interval = last?.sum('inference_backup_interval_seconds')
  const age = backup === undefined ? 0 : Date.now() / 1000 - backup
  return (
    <Facts
      rows={[
        fact(t.health.writable, 'inference_database_writable', yesNo),
        fact(t.health.overloaded, 'inference_overloaded', yesNo),
        fact(t.health.database, 'inference_database_bytes', bytes),
        fact(t.health.wal, 'inference_wal_bytes', (n) =>
          t.health.walOf(bytes(n), bytes(last?.sum('inference_wal_limit_bytes') ?? 0)),
        ),
        backup === undefined || interval === undefined
          ? [t.health.backup, t.health.noBackups]
          : [
              t.health.backup,
              <>
                {t.health.backups(backup === 0 ? null : duration(age), duration(interval))}
                {backup > 0 && age > 2 * interval && (
                  <span class="mark">
                    <Icon name="warn" tone="failed" />
                    {t.health.late}
                  </span>
                )}
              </>,
            ],
        fact(t.health.loop, 'nodejs_eventloop_lag_p99_seconds', (s) => duration(Math.max(0, s - LOOP_STEP))),
        mean(t.health.turn, 'inference_turn_seconds', duration),
        mean(t.health.turnSize, 'inference_turn_operations', rate),
        mean(t.health.fsync, 'inference_fsync_seconds', duration),
        mean(t.health.request, 'inference_http_request_seconds', duration, (metrics, name) =>
          metrics === undefined ? 0 : sumOfAnswers(metrics, name),
        ),
        fact(t.health.memory, 'process_resident_memory_bytes', bytes),
        fact(t.health.sessions, 'inference_sessions', number),
        fact(t.health.callbacksWaiting, 'inference_callbacks_waiting', number),
      ]}
    />
  )
}

/** From this share on a limit is marked. */
const NEARLY = 0.8

function Limits({ metrics }: { metrics: Metrics }) {
  const t = words.value
  const used = metrics.by('inference_limit_used', 'limit')
  const rows = [...metrics.by('inference_limit', 'limit')]
    .map(([limit, most]) => ({ limit, most, used: used.get(limit) ?? 0 }))
    .sort((a, b) => b.used / b.most - a.used / a.most || (a.limit < b.limit ? -1 : 1))
  return (
    <Scroll label={t.health.limits}>
      <table class="small">
        <thead>
          <tr>
            <th scope="col">{t.health.limit}</th>
            <th scope="col" class="figure">
              {t.health.used}
            </th>
            <th scope="col" class="figure">
              {t.health.most}
            </th>
            <th scope="col" class="figure">
              {t.health.share}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const show = row.limit.endsWith('_bytes') ? bytes : number
            const share = row.used / row.most
            return (
              <tr key={row.limit}>
                <th scope="row">
                  {t.health.limitNames[row.limit as keyof typeof t.health.limitNames] ?? row.limit}{' '}
                  {row.limit.startsWith('max_') && <code class="quiet">{row.limit}</code>}
                </th>
                <td class="figure">{show(row.used)}</td>
                <td class="figure">{show(row.most)}</td>
                <td class="figure">
                  {share >= NEARLY && <Icon name="warn" tone="failed" />} {percent(share)}
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </Scroll>
  )
}

/** Codes with which a session is closed that is not let in, or asks for too much. */
const TURNED_AWAY: ReadonlySet<string> = new Set(['1009', '1013', '4400', '4401', '4403', '4409', '4429'])

/** What was turned away since the start, by what said so. */
function Refused({ metrics }: { metrics: Metrics }) {
  const t = words.value
  const kinds = [
    ['submissions', 'inference_tasks_refused_total', 'code', () => true],
    ['requests', 'inference_http_requests_total', 'status', (status: string) => status === '429' || status === '503'],
    ['sessions', 'inference_sessions_closed_total', 'code', (code: string) => TURNED_AWAY.has(code)],
    ['connections', 'inference_connections_refused_total', 'limit', () => true],
  ] as const
  const rows = kinds.flatMap(([kind, name, label, isOne]) =>
    [...metrics.by(name, label)]
      .filter(([code, n]) => n > 0 && isOne(code))
      .sort(([, a], [, b]) => b - a)
      .map(([code, n]) => ({ kind, code, n })),
  )
  return (
    <>
      <h3>{t.health.refused}</h3>
      {rows.length === 0 ? (
        <p class="quiet">{t.health.noneRefused}</p>
      ) : (
        <Scroll label={t.health.refused}>
          <table class="small">
            <thead>
              <tr>
                <th scope="col">{t.health.what}</th>
                <th scope="col">{t.health.code}</th>
                <th scope="col" class="figure">
                  {t.health.times}
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map(({ kind, code, n }) => (
                <tr key={`${kind} ${code}`}>
                  <th scope="row">{t.health.refusedKinds[kind]}</th>
                  <td>
                    <code>{code}</code>
                  </td>
                  <td class="figure">{number(n)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </>
  )
}

/** What the service measures of itself, and how near it is to its limits: what Prometheus is told. */
export function Measures({ everyMs }: { everyMs: number }) {
  const t = words.value
  const kept = useMetrics(everyMs)
  const metrics = kept?.at(-1)
  return (
    <>
      <Panel title={t.health.measured}>
        {kept === null ? (
          <p class="quiet">{t.health.noMetrics}</p>
        ) : metrics === undefined ? (
          <p class="quiet">{t.loading}</p>
        ) : (
          <>
            <Measured kept={kept} />
            <p class="quiet">{t.health.means}</p>
          </>
        )}
      </Panel>
      {metrics !== undefined && (
        <Panel title={t.health.limits}>
          <Limits metrics={metrics} />
          <Refused metrics={metrics} />
        </Panel>
      )}
    </>
  )
}
