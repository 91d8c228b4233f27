import { useEffect, useMemo, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso/router'
import type { InferOutput } from 'valibot'
import type { taskLine, tasksPage } from '../../../src/wire/task-answers.js'
import type { ModelView } from '../../../src/wire/watch-answers.js'
import type { FeedTask } from '../../../src/wire/watch-events.js'
import { can, role } from '../state/access.js'
import { useAnswer } from '../state/answer.js'
import { listen } from '../state/feed.js'
import { duration, number, stx, time } from '../parts/format.js'
import { Empty, Scroll, Trouble } from '../parts/notes.js'
import { paths, withQuery, type Query } from '../parts/paths.js'
import { TaskStatusMark, type TaskStatus } from '../parts/status.js'
import { words } from '../words/index.js'
import { Bulk } from './bulk.js'

export type TaskLine = InferOutput<typeof taskLine>
type TasksPage = InferOutput<typeof tasksPage>

const PAGE = 100
const statuses = ['pending', 'in_progress', 'completed', 'submitted', 'failed', 'timeout'] as const
const spans = { '15m': 900, '1h': 3600, '24h': 86_400 } as const
type Span = keyof typeof spans
const spanOf = (text: string | undefined): Span | null => (text !== undefined && text in spans ? (text as Span) : null)

/** What of the address the service is asked for. */
export interface Filter {
  status: TaskStatus | null
  model: string | null
  user: string | null
  node: string | null
  /** Not older than so many seconds: looked at here, for the service does not. */
  since: number | null
}
export const filterQuery = ({ status, model, user, node }: Filter): Query => ({ status, model, user, node })
export const isSince = ({ since }: Filter, { created_at }: TaskLine): boolean =>
  since === null || created_at >= Date.now() / 1000 - since

/**
 * Whether a task that the feed tells of belongs on top of a page of the filter. Of users the feed tells nothing.
 * @param cameAt when the page came, Unix ms
 */
const isNew = ({ status, model, node }: Filter, event: FeedTask, cameAt: number): boolean =>
  (status === null ? Date.now() - event.ms > cameAt && event.attempt < 2 : status === event.status) &&
  (model === null || model === event.model) &&
  (node === null || node === event.node)

/** What the feed has told since a page came: how its tasks stand now, and how many there are besides. */
function useNews(page: TasksPage | null, filter: Filter) {
  const [changed, setChanged] = useState<ReadonlyMap<string, FeedTask>>(new Map())
  const [fresh, setFresh] = useState({ ids: new Set<string>(), more: false })
  useEffect(() => {
    setChanged(new Map())
    setFresh({ ids: new Set(), more: false })
    if (page === null || !can('events')) return
    const cameAt = Date.now()
    const known = new Set(page.tasks.map((task) => task.task_id))
    // What comes in a burst is shown at once, a few times a second: rows are not drawn for every event.
    let pending = new Map<string, FeedTask>()
    let ids = new Set<string>()
    let more = false
    let timer: ReturnType<typeof setTimeout> | undefined
    const show = (): void => {
      timer = undefined
      const [changes, added, isMore] = [pending, ids, more]
      pending = new Map()
      ids = new Set()
      if (changes.size > 0) setChanged((last) => new Map([...last, ...changes]))
      if (added.size > 0 || isMore)
        setFresh((last) => ({
          ids: last.ids.size >= MAX_NEWS ? last.ids : new Set([...last.ids, ...added]),
          more: last.more || isMore,
        }))
    }
    const end = listen(['task'], (event) => {
      if (event.event !== 'task') return
      if ((event.data.skipped ?? 0) > 0) more = true
      if (known.has(event.data.id)) pending.set(event.data.id, event.data)
      else if (isNew(filter, event.data, cameAt)) ids.add(event.data.id)
      timer ??= setTimeout(show, SHOW_MS)
    })
    return () => {
      end()
      clearTimeout(timer)
    }
  }, [page])
  return { changed, fresh }
}
const SHOW_MS = 200
const MAX_NEWS = 1000

const hasEnded = (status: TaskStatus): boolean => status !== 'pending' && status !== 'in_progress'

/** A task as the feed has it now. */
const updated = (task: TaskLine, news: FeedTask | undefined): TaskLine =>
  news === undefined
    ? task
    : {
        ...task,
        status: news.status,
        attempt: news.attempt,
        inference_node_id: news.node ?? task.inference_node_id,
        completed_at: hasEnded(news.status) ? task.created_at + news.ms / 1000 : null,
      }

function Row({ task, users }: { task: TaskLine; users: boolean }) {
  const took = (task.completed_at ?? task.updated_at) - task.created_at
  return (
    <tr>
      <th scope="row">
        <a href={paths.task(task.task_id)}>{task.task_id}</a>
      </th>
      <td>
        <TaskStatusMark status={task.status} />
      </td>
      <td class="cut">{task.model_name}</td>
      <td class="cut">
        {task.inference_node_id !== null && <a href={paths.node(task.inference_node_id)}>{task.inference_node_id}</a>}
      </td>
      <td class="figure">{task.attempt === 0 ? '' : number(task.attempt)}</td>
      <td class="figure">{time(task.created_at * 1000)}</td>
      <td class="figure">{!hasEnded(task.status) ? '' : took === 0 ? `< ${duration(1)}` : duration(took)}</td>
      <td class="figure">{stx(task.infer_fee)}</td>
      {users && (
        <td class="cut user" title={task.user_address ?? undefined}>
          {task.user_address}
        </td>
      )}
      <td class="cut error" title={task.error ?? undefined}>
        {task.error}
      </td>
    </tr>
  )
}

function Table({ tasks, users }: { tasks: readonly TaskLine[]; users: boolean }) {
  const t = words.value
  return (
    <Scroll label={t.nav.tasks}>
      <table class="tasks dense">
        <thead>
          <tr>
            <th scope="col">{t.tasks.id}</th>
            <th scope="col">{t.tasks.status}</th>
            <th scope="col">{t.tasks.model}</th>
            <th scope="col">{t.tasks.node}</th>
            <th scope="col" class="figure">
              {t.tasks.attempt}
            </th>
            <th scope="col" class="figure">
              {t.tasks.created}
            </th>
            <th scope="col" class="figure">
              {t.tasks.took}
            </th>
            <th scope="col" class="figure">
              {t.tasks.fee}
            </th>
            {users && <th scope="col">{t.tasks.user}</th>}
            <th scope="col">{t.tasks.error}</th>
          </tr>
        </thead>
        <tbody>
          {tasks.map((task) => (
            <Row task={task} users={users} key={task.task_id} />
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}

/** What is filtered for, as fields that write it into the address. */
function Filters({ query, set }: { query: Query; set: (more: Query) => void }) {
  const t = words.value
  const models = useAnswer<ModelView[]>(can('models') ? '/api/v1/models' : null)
  const field = (name: string, label: string, list?: string) => (
    <label>
      {label}
      <input
        type="search"
        value={query[name] ?? ''}
        onChange={(e) => set({ [name]: e.currentTarget.value.trim() })}
        list={list}
        autocomplete="off"
        spellcheck={false}
      />
    </label>
  )
  return (
    <form class="filters" onSubmit={(e) => e.preventDefault()} aria-label={t.tasks.filters}>
      <label>
        {t.tasks.status}
        <select value={query['status'] ?? ''} onChange={(e) => set({ status: e.currentTarget.value })}>
          <option value="">{t.tasks.any}</option>
          {statuses.map((s) => (
            <option value={s} key={s}>
              {t.taskStatus[s]}
            </option>
          ))}
        </select>
      </label>
      <label>
        {t.tasks.since}
        <select value={query['since'] ?? ''} onChange={(e) => set({ since: e.currentTarget.value })}>
          <option value="">{t.tasks.always}</option>
          {(Object.keys(spans) as Span[]).map((s) => (
            <option value={s} key={s}>
              {t.overview.windows[s]}
            </option>
          ))}
        </select>
      </label>
      {field('model', t.tasks.model, 'models')}
      <datalist id="models">
        {models.data?.map(({ model }) => (
          <option value={model} key={model} />
        ))}
      </datalist>
      {field('node', t.tasks.node)}
      {role.value !== 'viewer' && field('user', t.tasks.user)}
    </form>
  )
}

export function TasksView() {
  const t = words.value
  const { query, path, route } = useLocation()
  const span = spanOf(query['since'])
  const status = statuses.find((s) => s === query['status']) ?? null
  const { model = null, user = null, node = null, cursor = null } = query
  const filter = useMemo<Filter>(
    () => ({ status, model, user, node, since: span === null ? null : spans[span] }),
    [status, model, user, node, span],
  )
  // Without the feed nobody tells of changes.
  const shown = useAnswer<TasksPage>(
    withQuery('/api/v1/tasks', { ...filterQuery(filter), cursor, limit: String(PAGE) }),
    can('events') ? 0 : 5000,
  )
  const page = shown.data
  const { changed, fresh } = useNews(page, filter)
  const set = (more: Query): void => route(withQuery(path, { ...query, cursor: null, ...more }))
  const tasks = (page?.tasks ?? [])
    .filter((task) => isSince(filter, task))
    .map((task) => updated(task, changed.get(task.task_id)))
  const users = tasks.some((task) => task.user_address !== null)
  const isFiltered = Object.values(filter).some((value) => value !== null)
  const older = page !== null && tasks.length === page.tasks.length ? page.next_cursor : null
  return (
    <main id="main">
      <h1>{t.nav.tasks}</h1>
      <Filters query={query} set={set} />
      <div class="bar">
        <span class="quiet">{page !== null && t.tasks.count(number(tasks.length))}</span>
        {cursor === null && (fresh.ids.size > 0 || fresh.more) && (
          <button type="button" class="primary" onClick={shown.reload}>
            {t.tasks.fresh(number(fresh.ids.size) + (fresh.more ? '+' : ''))}
          </button>
        )}
        <span class="spring" />
        {tasks.length > 0 && <Bulk filter={filter} onDone={shown.reload} />}
      </div>
      {page === null ? (
        <Trouble failure={shown.failure} />
      ) : tasks.length === 0 ? (
        isFiltered ? (
          <Empty title={t.tasks.noneFits}>
            <a href={paths.tasks}>{t.tasks.showAll}</a>
          </Empty>
        ) : (
          <Empty title={t.tasks.none} command={SUBMIT}>
            {t.tasks.noneWhy}
          </Empty>
        )
      ) : (
        <Table tasks={tasks} users={users} />
      )}
      <nav class="bar" aria-label={t.tasks.pages}>
        {cursor !== null && <a href={withQuery(path, { ...query, cursor: null })}>{t.tasks.newest}</a>}
        {older !== null && <a href={withQuery(path, { ...query, cursor: older })}>{t.tasks.older}</a>}
      </nav>
    </main>
  )
}

const SUBMIT = `curl -sS ${location.origin}/api/v1/tasks/submit -H 'Content-Type: application/json' \\
  -d '{"task_id": "task-001", "user_address": "ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM", "user_input": "What is a lease?", "infer_fee": 2500, "max_infer_time": 300, "model_name": "llama-3-8b"}'`
