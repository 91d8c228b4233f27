import { useEffect, useRef, useState } from 'preact/hooks'
import { useLocation, useRoute } from 'preact-iso/router'
import type { TaskDetailView } from '../../../src/wire/task-answers.js'
import { can } from '../state/access.js'
import { useAnswer } from '../state/answer.js'
import { ask } from '../state/api.js'
import { listen } from '../state/feed.js'
import { counted, duration, number, stx, time } from '../parts/format.js'
import { Empty, Facts, Panel, Trouble } from '../parts/notes.js'
import { api, paths } from '../parts/paths.js'
import { shellWord } from '../parts/shell.js'
import { TaskStatusMark } from '../parts/status.js'
import { words } from '../words/index.js'
import { LiveText } from './live-text.js'
import { Waiting } from './waiting.js'
import { Waterfall } from './waterfall.js'

/** Under load the feed leaves events out: so often a task that has not ended is asked for all the same, ms. */
const OPEN_MS = 2000
/** How often what goes on is drawn, ms. */
const CLOCK_MS = 500

/** Now, for as long as it matters. */
function useClock(isRunning: boolean): number {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    if (!isRunning) return
    const timer = setInterval(() => setNow(Date.now()), CLOCK_MS)
    return () => clearInterval(timer)
  }, [isRunning])
  return now
}

const isOpen = ({ status }: TaskDetailView): boolean => status === 'pending' || status === 'in_progress'

/** Something that is done to a task by a button. */
function Deeds({ task, onDone }: { task: TaskDetailView; onDone: () => void }) {
  const t = words.value
  const [said, setSaid] = useState<string | null>(null)
  const copied = useRef<HTMLParagraphElement>(null)
  const run = async (deed: 'cancel' | 'retry'): Promise<void> => {
    const answer = await ask<string>(`${api.task(task.task_id)}/${deed}`, 'POST')
    setSaid(answer.ok ? t.done : answer.status === 0 ? t.live.down : answer.message)
    onDone()
  }
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(curlOf(task))
      setSaid(t.task.copied)
    } catch {
      // Only a page that came over TLS, or from this machine, may write there.
      setSaid(curlOf(task))
    }
  }
  return (
    <div class="bar">
      {isOpen(task) && can('cancel') && (
        <button type="button" class="danger" onClick={() => void run('cancel')}>
          {t.task.cancel}
        </button>
      )}
      {(task.status === 'failed' || task.status === 'timeout') && can('retry') && (
        <button type="button" class="primary" onClick={() => void run('retry')}>
          {t.task.retry}
        </button>
      )}
      {task.user_input !== null && (
        <button type="button" onClick={() => void copy()}>
          {t.task.curl}
        </button>
      )}
      <p role="status" ref={copied} class="said">
        {said}
      </p>
    </div>
  )
}

/** The same task, submitted once more, for a shell. */
function curlOf(task: TaskDetailView): string {
  const body = {
    user_address: task.user_address,
    user_input: task.user_input,
    context: task.context,
    infer_fee: task.infer_fee,
    max_infer_time: task.max_infer_time,
    model_name: task.model_name,
    ...(task.params == null ? {} : { params: task.params }),
  }
  return `curl -sS ${location.origin}/api/v1/tasks/submit -H 'Content-Type: application/json' -d ${shellWord(JSON.stringify(body))}`
}

/** A text that is shown when it is asked for. It is text: whatever stands in it, nothing of it is markup. */
function Folded({ title, text }: { title: string; text: string | null | undefined }) {
  const t = words.value
  if (text === null) return <p class="quiet">{t.task.hidden(title)}</p>
  if (text === undefined || text === '') return null
  return (
    <details>
      <summary>
        {title} <span class="quiet">{t.task.characters(counted(text.length))}</span>
      </summary>
      <pre class="text" tabIndex={0}>
        {text}
      </pre>
    </details>
  )
}

function Texts({ task, onEnd }: { task: TaskDetailView; onEnd: () => void }) {
  const t = words.value
  const [live, setLive] = useState(false)
  const tools = task.result?.tool_calls
  return (
    <Panel title={t.task.texts}>
      <Folded title={t.task.prompt} text={task.user_input} />
      {task.user_input !== null && <Folded title={t.task.context} text={task.context} />}
      {task.params != null && <Folded title={t.task.params} text={JSON.stringify(task.params, null, 2)} />}
      {task.result !== null && <Folded title={t.task.result} text={task.result.output} />}
      {task.result?.reasoning != null && <Folded title={t.task.reasoning} text={task.result.reasoning} />}
      {tools != null && <Folded title={t.task.toolCalls} text={JSON.stringify(tools, null, 2)} />}
      {isOpen(task) && can('taskEvents') && (
        <details onToggle={(e) => setLive(e.currentTarget.open)}>
          <summary>{t.task.live}</summary>
          {live && <LiveText id={task.task_id} onEnd={onEnd} />}
        </details>
      )}
    </Panel>
  )
}

function About({ task, now }: { task: TaskDetailView; now: number }) {
  const t = words.value
  const created = task.created_ms ?? task.created_at * 1000
  const last = task.attempts.at(-1)
  const ended = isOpen(task) ? now : (last?.ended_ms ?? task.updated_at * 1000)
  return (
    <Facts
      rows={[
        [t.tasks.status, <TaskStatusMark status={task.status} />],
        [t.tasks.model, task.model_name],
        task.user_address === null ? null : [t.tasks.user, task.user_address],
        [t.tasks.created, time(created)],
        [isOpen(task) ? t.task.age : t.tasks.took, duration(Math.max(0, ended - created) / 1000)],
        [t.task.limit, duration(task.max_infer_time)],
        [t.tasks.fee, stx(task.infer_fee)],
        task.error === null ? null : [t.tasks.error, task.error],
        task.code === undefined ? null : [t.task.code, task.code],
        task.txid === null ? null : [t.task.txid, task.txid],
        task.settlement === undefined ? null : [t.task.settlement, task.settlement.state],
        task.callback == null ? null : [t.task.callback, `${task.callback.state}, ${number(task.callback.tries)}`],
        task.result?.confidence == null ? null : [t.task.confidence, String(task.result.confidence)],
        task.result?.finish_reason == null ? null : [t.task.finish, task.result.finish_reason],
      ]}
    />
  )
}

function EarlierEnds({ ends }: { ends: TaskDetailView['earlier_ends'] }) {
  const t = words.value
  if (ends.length === 0) return null
  return (
    <Panel title={t.task.earlier}>
      <ul class="plain">
        {ends.map((end) => (
          <li key={end.reopened_at}>
            <TaskStatusMark status={end.status} /> {time(end.ended_at * 1000)},{' '}
            {t.task.reopened(time(end.reopened_at * 1000))}
            {end.error !== null && `: ${end.error}`}
          </li>
        ))}
      </ul>
    </Panel>
  )
}

export function TaskView() {
  const t = words.value
  const { params, query } = useRoute()
  const { back } = useLocation()
  const id = params['id'] ?? ''
  const [everyMs, setEveryMs] = useState(OPEN_MS)
  const shown = useAnswer<TaskDetailView>(api.task(id), everyMs)
  const task = shown.data
  const open = task === null || isOpen(task)
  useEffect(() => setEveryMs(open ? OPEN_MS : 0), [open])
  const reload = useRef(shown.reload)
  reload.current = shown.reload
  useEffect(() => {
    if (!can('events')) return
    return listen(['task'], (event) => {
      if (event.event === 'task' && event.data.id === id) reload.current()
    })
  }, [id])
  const now = useClock(task !== null && isOpen(task))
  if (task === null) {
    const isUnknown = shown.failure?.status === 404
    return (
      <main id="main">
        <h1 class="id">{id}</h1>
        {isUnknown ? (
          <Empty title={t.task.unknown}>
            {can('nodes') && query['from'] === 'search' ? (
              <a href={paths.node(id)}>{t.task.asNode}</a>
            ) : (
              <button type="button" onClick={back}>
                {t.back}
              </button>
            )}
          </Empty>
        ) : (
          <Trouble failure={shown.failure} />
        )}
      </main>
    )
  }
  return (
    <main id="main">
      <p class="crumb">
        <a href={paths.tasks}>{t.nav.tasks}</a>
      </p>
      <h1 class="id">{id}</h1>
      <Deeds task={task} onDone={shown.reload} key={id} />
      <About task={task} now={now} />
      {task.waiting !== null && <Waiting waiting={task.waiting} model={task.model_name} />}
      <Panel title={t.task.way}>
        <Waterfall task={task} now={now} />
      </Panel>
      <EarlierEnds ends={task.earlier_ends} />
      <Texts task={task} onEnd={shown.reload} />
    </main>
  )
}
