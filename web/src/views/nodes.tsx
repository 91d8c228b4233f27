import { useEffect, useRef, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso/router'
import type { NodeStatus } from '../../../src/wire/fields.js'
import type { NodeListEntry } from '../../../src/wire/service-answers.js'
import type { ModelView } from '../../../src/wire/watch-answers.js'
import { can } from '../state/access.js'
import { useAnswer } from '../state/answer.js'
import { listen, tick } from '../state/feed.js'
import { duration, number, percent, time } from '../parts/format.js'
import { Icon } from '../parts/icons.js'
import { Empty, Scroll, Trouble } from '../parts/notes.js'
import { paths, withQuery, type Query } from '../parts/paths.js'
import { NodeStatusMark } from '../parts/status.js'
import { words } from '../words/index.js'

interface NodesPage {
  nodes: NodeListEntry[]
  next_cursor: string | null
}

const PAGE = 100
const NODES_MS = 3000
/** A node that has changed is asked for so soon, however many do, ms. */
const CHANGE_MS = 400
const statuses = ['online', 'busy', 'maintenance', 'offline'] as const satisfies readonly NodeStatus[]

/** Whether a node gets nothing for a while, after failures in a row. `cooled_until`: Unix seconds. */
export const isResting = ({ cooled_until }: NodeListEntry): boolean =>
  cooled_until !== null && cooled_until * 1000 > Date.now()

/** A node's slots: those that are busy are full. */
export function Slots({ busy, all }: { busy: number; all: number }) {
  const t = words.value
  return (
    <span class="slots">
      <meter min={0} max={Math.max(1, all)} value={Math.min(busy, all)} aria-label={t.nodes.slots} />{' '}
      {t.nodes.busyOf(number(Math.min(busy, all)), number(all))}
      {busy > all && ` +${number(busy - all)}`}
    </span>
  )
}

/** How long a cooldown still lasts. */
export function Cooldown({ until }: { until: number | null }) {
  const t = words.value
  const [now, setNow] = useState(Date.now())
  const left = until === null ? 0 : until - now / 1000
  useEffect(() => {
    if (left <= 0) return
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [until, left > 0])
  return left <= 0 ? null : (
    <span class="mark">
      <Icon name="snow" tone="timeout" />
      {t.nodes.cooldown(duration(Math.ceil(left)))}
    </span>
  )
}

/** A node's mean run time against the median of its slowest model. */
function Speed({ node, models }: { node: NodeListEntry; models: ReadonlyMap<string, ModelView> }) {
  const t = words.value
  const mean = node.average_inference_time
  if (mean === 0) return null
  const medians = node.supported_models.flatMap((name) => models.get(name)?.run_p50 ?? [])
  const median = medians.length === 0 ? null : Math.max(...medians)
  const isSlow = median !== null && median > 0 && mean > median * 2
  return (
    <>
      {duration(mean)}
      {median !== null && median > 0 && (
        <span class="quiet"> {isSlow ? t.nodes.slow(percent(mean / median)) : percent(mean / median)}</span>
      )}
    </>
  )
}

function Row({ node, models }: { node: NodeListEntry; models: ReadonlyMap<string, ModelView> }) {
  const t = words.value
  return (
    <tr>
      <th scope="row">
        <a href={paths.node(node.node_id)}>{node.node_id}</a>
      </th>
      <td>
        <NodeStatusMark
          status={node.status}
          drained={node.drained}
          resting={isResting(node) && node.in_progress_tasks === 0}
        />
        <Cooldown until={node.cooled_until} />
        {node.status_reason !== null && <span class="quiet"> {node.status_reason}</span>}
        {node.probation && <span class="quiet"> {t.nodes.probation}</span>}
      </td>
      <td class="cut" title={node.supported_models.join(', ')}>
        {node.supported_models.join(', ')}
      </td>
      <td>
        <Slots busy={node.in_progress_tasks} all={node.max_concurrent_tasks} />
      </td>
      <td class="figure">
        <Speed node={node} models={models} />
      </td>
      <td class="figure">{percent(node.success_rate)}</td>
      <td class="figure">{number(node.failures_in_row)}</td>
      <td class="figure">{time(node.last_heartbeat * 1000)}</td>
      <td>{node.transport === 'websocket' ? t.nodes.session : t.nodes.polls}</td>
    </tr>
  )
}

function Filters({ query, set }: { query: Query; set: (more: Query) => void }) {
  const t = words.value
  const totals = tick.value?.totals
  const counts: Readonly<Record<NodeStatus, number | undefined>> = {
    online: totals?.online_nodes,
    busy: totals?.busy_nodes,
    maintenance: totals?.maintenance_nodes,
    offline: totals?.offline_nodes,
  }
  return (
    <form class="filters" onSubmit={(e) => e.preventDefault()} aria-label={t.tasks.filters}>
      <label>
        {t.nodes.find}
        <input
          type="search"
          value={query['q'] ?? ''}
          onChange={(e) => set({ q: e.currentTarget.value.trim() })}
          autocomplete="off"
          spellcheck={false}
        />
      </label>
      <label>
        {t.tasks.status}
        <select value={query['status'] ?? ''} onChange={(e) => set({ status: e.currentTarget.value })}>
          <option value="">{t.tasks.any}</option>
          {statuses.map((s) => (
            <option value={s} key={s}>
              {t.nodeStatus[s]}
              {counts[s] === undefined ? '' : ` (${number(counts[s])})`}
            </option>
          ))}
        </select>
      </label>
      <label>
        {t.tasks.model}
        <input
          type="search"
          value={query['model'] ?? ''}
          onChange={(e) => set({ model: e.currentTarget.value.trim() })}
          autocomplete="off"
          spellcheck={false}
        />
      </label>
    </form>
  )
}

export function NodesView() {
  const t = words.value
  const { query, path, route } = useLocation()
  const status = statuses.find((s) => s === query['status']) ?? null
  const { q = null, model = null, cursor = null } = query
  const shown = useAnswer<NodesPage>(
    withQuery('/api/v1/nodes', { limit: String(PAGE), status, model, q, cursor }),
    NODES_MS,
  )
  const models = useAnswer<ModelView[]>(can('models') ? '/api/v1/models' : null, 30_000)
  const byName = new Map((models.data ?? []).map((m) => [m.model, m]))
  const reload = useRef(shown.reload)
  reload.current = shown.reload
  useEffect(() => {
    if (!can('events')) return
    let timer: ReturnType<typeof setTimeout> | undefined
    const end = listen(['node'], (event) => {
      if (event.event !== 'node') return
      timer ??= setTimeout(() => {
        timer = undefined
        reload.current()
      }, CHANGE_MS)
    })
    return () => {
      end()
      clearTimeout(timer)
    }
  }, [])
  const set = (more: Query): void => route(withQuery(path, { ...query, cursor: null, ...more }))
  const nodes = shown.data?.nodes ?? []
  const isFiltered = status !== null || q !== null || model !== null
  return (
    <main id="main">
      <h1>{t.nav.nodes}</h1>
      <Filters query={query} set={set} />
      {shown.data === null ? (
        <Trouble failure={shown.failure} />
      ) : nodes.length === 0 ? (
        isFiltered ? (
          <Empty title={t.nodes.noneFits}>
            <a href={paths.nodes}>{t.nodes.showAll}</a>
          </Empty>
        ) : (
          <Empty
            title={t.nodes.none}
            command={`npx stacks-signer run-inference-node --coordinator ${location.origin} --model llama-3-8b=llama3:8b --base-url http://127.0.0.1:11434/v1`}
          >
            {t.nodes.noneWhy}
          </Empty>
        )
      ) : (
        <Scroll label={t.nav.nodes}>
          <table class="dense">
            <thead>
              <tr>
                <th scope="col">{t.nodes.id}</th>
                <th scope="col">{t.tasks.status}</th>
                <th scope="col">{t.nodes.models}</th>
                <th scope="col">{t.nodes.slots}</th>
                <th scope="col" class="figure">
                  {t.nodes.speed}
                </th>
                <th scope="col" class="figure">
                  {t.nodes.success}
                </th>
                <th scope="col" class="figure">
                  {t.nodes.failures}
                </th>
                <th scope="col" class="figure">
                  {t.nodes.seen}
                </th>
                <th scope="col">{t.nodes.transport}</th>
              </tr>
            </thead>
            <tbody>
              {nodes.map((node) => (
                <Row node={node} models={byName} key={node.node_id} />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      <nav class="bar" aria-label={t.tasks.pages}>
        {cursor !== null && <a href={withQuery(path, { ...query, cursor: null })}>{t.nodes.first}</a>}
        {shown.data?.next_cursor != null && (
          <a href={withQuery(path, { ...query, cursor: shown.data.next_cursor })}>{t.nodes.more}</a>
        )}
      </nav>
    </main>
  )
}
