import { useLocation } from 'preact-iso/router'
import type { ModelView } from '../../../src/wire/watch-answers.js'
import { can } from '../state/access.js'
import { kiosk } from '../state/settings.js'
import { duration, modelName, number, percent, rate } from '../parts/format.js'
import { Icon } from '../parts/icons.js'
import { Scroll } from '../parts/notes.js'
import { paths, withQuery } from '../parts/paths.js'
import { orderOf, sorted, SortHead, type Order } from '../parts/sort.js'
import { words } from '../words/index.js'

/** Whether nobody serves what waits. Tasks that ask for a family are served by the nodes of its models. */
export const isStranded = (m: ModelView, models: readonly ModelView[]): boolean =>
  m.waiting > 0 &&
  m.nodes === 0 &&
  !(m.model === m.family && models.some((other) => other.family === m.family && other.nodes > 0))

/** How bad it stands: nobody serves what waits, then what waits longest, then what fails most. */
const worst = (m: ModelView, all: readonly ModelView[]): number =>
  (isStranded(m, all) ? 1e12 : 0) + (m.oldest_waiting_seconds ?? 0) * 1000 + failedShare(m) * 100

const failedShare = (m: ModelView): number => (m.failed_1h === 0 ? 0 : m.failed_1h / (m.failed_1h + m.completed_1h))

const columns = {
  model: (m: ModelView) => m.model,
  worst,
  waiting: (m: ModelView) => m.waiting,
  oldest: (m: ModelView) => m.oldest_waiting_seconds,
  running: (m: ModelView) => m.running,
  nodes: (m: ModelView) => m.nodes,
  free: (m: ModelView) => m.free_slots,
  rate: (m: ModelView) => m.rate_1m,
  wait: (m: ModelView) => m.wait_p95,
  first: (m: ModelView) => m.first_word_p95,
  run: (m: ModelView) => m.run_p95,
  tokens: (m: ModelView) => m.tokens_per_second,
  failed: failedShare,
  eta: (m: ModelView) => m.eta_seconds,
} as const
type Column = keyof typeof columns
/** So many models fit on a wall beside the charts. */
const KIOSK_ROWS = 12

/** The middle and the slow end. */
const both = (p50: number | null, p95: number | null): string =>
  p50 === null && p95 === null ? duration(null) : `${duration(p50)} / ${duration(p95)}`

function Row({ m, stranded }: { m: ModelView; stranded: boolean }) {
  const t = words.value
  return (
    <tr>
      <th scope="row">
        {can('overview') ? (
          <a href={withQuery(paths.overview, { model: m.model })}>{modelName(m.model)}</a>
        ) : (
          modelName(m.model)
        )}
        {stranded && (
          <span class="mark">
            <Icon name="warn" tone="failed" />
            {t.models.noNode}
          </span>
        )}
      </th>
      <td class="figure">{number(m.waiting)}</td>
      <td class="figure">{duration(m.oldest_waiting_seconds)}</td>
      <td class="figure">{number(m.running)}</td>
      <td class="figure">{number(m.nodes)}</td>
      <td class="figure">
        {number(m.free_slots)} / {number(m.slots)}
      </td>
      <td class="figure">{rate(m.rate_1m * 60)}</td>
      <td class="figure">{both(m.wait_p50, m.wait_p95)}</td>
      <td class="figure">{both(m.first_word_p50, m.first_word_p95)}</td>
      <td class="figure">{both(m.run_p50, m.run_p95)}</td>
      <td class="figure">{rate(m.tokens_per_second)}</td>
      <td class="figure">
        {number(m.failed_1h)}
        {m.failed_1h > 0 && <span class="quiet"> {percent(failedShare(m))}</span>}
      </td>
      <td class="figure">{m.eta_seconds !== null && m.eta_seconds < 1 ? t.models.now : duration(m.eta_seconds)}</td>
    </tr>
  )
}

/** The models, the worst first unless the address says otherwise. */
export function ModelTable({ models }: { models: readonly ModelView[] }) {
  const t = words.value
  const { query } = useLocation()
  const order: Order = orderOf(query['sort'], '-worst')
  const valueOf = columns[order.by in columns ? (order.by as Column) : 'worst']
  const head = (name: Column, text: string, figure = true) => (
    <SortHead name={name} order={order} figure={figure}>
      {text}
    </SortHead>
  )
  return (
    <>
      <Scroll label={t.models.title}>
        <table class="dense">
          <thead>
            <tr>
              {head('model', t.models.model, false)}
              {head('waiting', t.models.waiting)}
              {head('oldest', t.models.oldest)}
              {head('running', t.models.running)}
              {head('nodes', t.models.nodes)}
              {head('free', t.models.free)}
              {head('rate', t.models.rate)}
              {head('wait', t.models.wait)}
              {head('first', t.models.firstWord)}
              {head('run', t.models.run)}
              {head('tokens', t.models.tokens)}
              {head('failed', t.models.failed)}
              {head('eta', t.models.eta)}
            </tr>
          </thead>
          <tbody>
            {sorted(models, (m) => valueOf(m, models), order.descending)
              .slice(0, kiosk.value ? KIOSK_ROWS : undefined)
              .map((m) => (
                <Row m={m} stranded={isStranded(m, models)} key={m.model} />
              ))}
          </tbody>
        </table>
      </Scroll>
      <p class="quiet">{t.models.note}</p>
    </>
  )
}
