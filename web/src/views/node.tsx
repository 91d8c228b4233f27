import { useEffect, useRef, useState } from 'preact/hooks'
import { useLocation, useRoute } from 'preact-iso/router'
import type { NodeDetailView } from '../../../src/wire/watch-answers.js'
import { can } from '../state/access.js'
import { useAnswer } from '../state/answer.js'
import { ask } from '../state/api.js'
import { listen } from '../state/feed.js'
import { Dialog } from '../parts/dialog.js'
import { counted, duration, number, percent, rate, stx, time } from '../parts/format.js'
import { Empty, Facts, Panel, Scroll, Trouble } from '../parts/notes.js'
import { api, paths, withQuery } from '../parts/paths.js'
import { EndMark, NodeStatusMark } from '../parts/status.js'
import { words } from '../words/index.js'
import { Cooldown, isResting, Slots } from './nodes.js'

const NODE_MS = 2000
const reasons = ['model', 'feature', 'failed_before', 'cooldown', 'drained'] as const

/** Why waiting tasks did not go to it, in a sentence each. */
function Idle({ node }: { node: NodeDetailView }) {
  const t = words.value
  const because = node.idle_because
  const there = because === null ? [] : reasons.filter((reason) => because[reason] > 0)
  return (
    <Panel title={node.in_progress_tasks > 0 ? t.node.idleMore : t.node.idle}>
      {node.status === 'offline' ? (
        <p>{t.node.offline(time(node.last_heartbeat * 1000))}</p>
      ) : because === null ? (
        <p>{t.node.full}</p>
      ) : there.length === 0 ? (
        <p>{t.node.nothingWaits}</p>
      ) : (
        <ul class="plain">
          {there.map((reason) => (
            <li key={reason}>{t.node.because[reason](counted(because[reason]))}</li>
          ))}
        </ul>
      )}
    </Panel>
  )
}

/** To forget a node is confirmed by its name: it takes its figures with it. */
function Forget({ id, onClose, onDone }: { id: string; onClose: () => void; onDone: () => void }) {
  const t = words.value
  const [typed, setTyped] = useState('')
  const [problem, setProblem] = useState<string | null>(null)
  const forget = async (event: Event): Promise<void> => {
    event.preventDefault()
    const answer = await ask<string>(api.node(id), 'DELETE')
    if (answer.ok) onDone()
    else setProblem(answer.status === 0 ? t.live.down : answer.message)
  }
  return (
    <Dialog title={t.node.forget} onClose={onClose}>
      <p>{t.node.forgetWhat}</p>
      <form onSubmit={(e) => void forget(e)}>
        <label>
          {t.node.forgetType(id)}
          <input
            value={typed}
            onInput={(e) => setTyped(e.currentTarget.value)}
            autocomplete="off"
            spellcheck={false}
            autofocus
          />
        </label>
        <p role="alert">{problem}</p>
        <div class="bar">
          <button type="submit" class="danger" disabled={typed !== id}>
            {t.node.forget}
          </button>
          <button type="button" onClick={onClose}>
            {t.never}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function Deeds({ node, onDone }: { node: NodeDetailView; onDone: () => void }) {
  const t = words.value
  const { route } = useLocation()
  const [said, setSaid] = useState<string | null>(null)
  const [asks, setAsks] = useState(false)
  const run = async (deed: 'drain' | 'resume'): Promise<void> => {
    const answer = await ask<string>(`${api.node(node.node_id)}/${deed}`, 'POST')
    setSaid(answer.ok ? t.done : answer.status === 0 ? t.live.down : answer.message)
    onDone()
  }
  const canResume = node.drained || isResting(node)
  return (
    <div class="bar">
      {!node.drained && can('drain') && (
        <button type="button" onClick={() => void run('drain')} title={t.node.drainWhat}>
          {t.node.drain}
        </button>
      )}
      {canResume && can('resume') && (
        <button type="button" class="primary" onClick={() => void run('resume')}>
          {t.node.resume}
        </button>
      )}
      {can('forget') && (
        <button type="button" class="danger" onClick={() => setAsks(true)}>
          {t.node.forget}
        </button>
      )}
      <p role="status" class="said">
        {said}
      </p>
      {asks && <Forget id={node.node_id} onClose={() => setAsks(false)} onDone={() => route(paths.nodes)} />}
    </div>
  )
}

function About({ node }: { node: NodeDetailView }) {
  const t = words.value
  const { rates } = node
  return (
    <Facts
      rows={[
        [
          t.tasks.status,
          <>
            <NodeStatusMark
              status={node.status}
              drained={node.drained}
              resting={isResting(node) && node.in_progress_tasks === 0}
            />{' '}
            <Cooldown until={node.cooled_until} /> {node.status_reason}
          </>,
        ],
        [t.nodes.slots, <Slots busy={node.in_progress_tasks} all={node.max_concurrent_tasks} />],
        [t.nodes.models, node.supported_models.join(', ')],
        [t.nodes.seen, time(node.last_heartbeat * 1000)],
        node.session_since_ms === null
          ? [t.nodes.transport, node.transport === 'rest' ? t.nodes.polls : t.node.noSession]
          : [t.node.sessionSince, time(node.session_since_ms)],
        node.agent === null ? null : [t.node.agent, node.agent],
        node.features.length === 0 ? null : [t.node.features, node.features.join(', ')],
        [t.nodes.success, percent(node.success_rate)],
        [t.nodes.failures, number(node.failures_in_row)],
        [t.node.runTime, `${duration(rates.run_p50)} / ${duration(rates.run_p95)}`],
        [t.node.modelsRunTime, duration(rates.models_run_p50)],
        rates.tokens_per_second === null ? null : [t.node.tokens, rate(rates.tokens_per_second)],
        node.probation ? [t.nodes.probation, t.node.probationWhat] : null,
        node.payee == null ? null : [t.node.payee, node.payee],
        node.stake == null ? null : [t.node.stake, stx(node.stake)],
        node.not_covered == null ? null : [t.node.notCovered, node.not_covered],
        node.endpoint === null || node.endpoint === '' ? null : [t.node.endpoint, node.endpoint],
        node.public_key === null ? null : [t.node.key, <span class="id">{node.public_key}</span>],
        node.node_address === null || node.node_address === '' ? null : [t.node.address, node.node_address],
      ]}
    />
  )
}

function Attempts({ node }: { node: NodeDetailView }) {
  const t = words.value
  const attempts = node.recent_attempts
  if (attempts.length === 0) return <p class="quiet">{t.node.noAttempts}</p>
  return (
    <Scroll label={t.node.attempts}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t.tasks.id}</th>
            <th scope="col" class="figure">
              {t.task.attempt}
            </th>
            <th scope="col">{t.tasks.model}</th>
            <th scope="col" class="figure">
              {t.node.assigned}
            </th>
            <th scope="col" class="figure">
              {t.task.parts.read}
            </th>
            <th scope="col" class="figure">
              {t.tasks.took}
            </th>
            <th scope="col">{t.task.end}</th>
            <th scope="col" class="figure">
              {t.node.tokensOut}
            </th>
          </tr>
        </thead>
        <tbody>
          {attempts.map((a) => (
            <tr key={`${a.task_id} ${a.attempt} ${a.assigned_ms}`}>
              <th scope="row">
                <a href={paths.task(a.task_id)}>{a.task_id}</a>
              </th>
              <td class="figure">{number(a.attempt)}</td>
              <td class="cut">{a.model_name}</td>
              <td class="figure">{time(a.assigned_ms)}</td>
              <td class="figure">
                {a.first_word_ms === null || a.accepted_ms === null
                  ? ''
                  : duration((a.first_word_ms - a.accepted_ms) / 1000)}
              </td>
              <td class="figure">
                {a.ended_ms === null ? '' : duration((a.ended_ms - (a.accepted_ms ?? a.assigned_ms)) / 1000)}
              </td>
              <td>
                <EndMark end={a.end} fault={a.fault} />
              </td>
              <td class="figure">{number(a.completion_tokens)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}

export function NodeView() {
  const t = words.value
  const { params } = useRoute()
  const id = params['id'] ?? ''
  const shown = useAnswer<NodeDetailView>(api.node(id), NODE_MS)
  const node = shown.data
  const reload = useRef(shown.reload)
  reload.current = shown.reload
  useEffect(() => {
    if (!can('events')) return
    return listen(['node'], (event) => {
      if (event.event === 'node' && event.data.id === id) reload.current()
    })
  }, [id])
  return (
    <main id="main">
      <p class="crumb">
        <a href={paths.nodes}>{t.nav.nodes}</a>
      </p>
      <h1 class="id">{id}</h1>
      {node === null ? (
        shown.failure?.status === 404 ? (
          <Empty title={t.node.unknown}>
            <a href={paths.nodes}>{t.nodes.showAll}</a>
          </Empty>
        ) : (
          <Trouble failure={shown.failure} />
        )
      ) : (
        <>
          <Deeds node={node} onDone={shown.reload} key={id} />
          <About node={node} />
          <Idle node={node} />
          <Panel
            title={t.node.attempts}
            beside={can('list') ? <a href={withQuery(paths.tasks, { node: id })}>{t.node.allTasks}</a> : undefined}
          >
            <Attempts node={node} />
          </Panel>
        </>
      )}
    </main>
  )
}
