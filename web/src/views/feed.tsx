import { useEffect, useRef, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso/router'
import type { FeedNode, FeedTask } from '../../../src/wire/watch-events.js'
import { connection, listen, tick } from '../state/feed.js'
import { counted, duration, number, time } from '../parts/format.js'
import { Empty, Scroll } from '../parts/notes.js'
import { paths, withQuery, type Query } from '../parts/paths.js'
import { EndMark, NodeStatusMark, TaskStatusMark } from '../parts/status.js'
import { words } from '../words/index.js'

/** So many events are kept. */
const MOST = 100
/** How often what has come is drawn, ms. */
const SHOW_MS = 500

/** An event, and when it came, Unix ms. */
type Line = { key: number; at: number } & ({ event: 'task'; data: FeedTask } | { event: 'node'; data: FeedNode })

interface Seen {
  lines: readonly Line[]
  skipped: number
}

/** What fits of the filter, the newest first; while it is paused what comes is kept, and shown after. */
function useLines(fits: (line: Line) => boolean, paused: boolean): { seen: Seen; held: number } {
  const [seen, setSeen] = useState<Seen>({ lines: [], skipped: 0 })
  const [held, setHeld] = useState(0)
  const waiting = useRef<{ lines: Line[]; skipped: number }>({ lines: [], skipped: 0 })
  const isPaused = useRef(paused)
  isPaused.current = paused
  const isFit = useRef(fits)
  isFit.current = fits
  useEffect(() => {
    let key = 0
    const end = listen(['task', 'node'], (event) => {
      if (event.event !== 'task' && event.event !== 'node') return
      const line: Line = { ...event, key: ++key, at: Date.now() }
      waiting.current.skipped += event.data.skipped ?? 0
      if (!isFit.current(line)) return
      waiting.current.lines.push(line)
      if (waiting.current.lines.length > MOST) waiting.current.lines.shift()
    })
    const timer = setInterval(() => {
      const { lines, skipped } = waiting.current
      if (isPaused.current) return setHeld(lines.length)
      if (lines.length === 0 && skipped === 0) return
      waiting.current = { lines: [], skipped: 0 }
      setHeld(0)
      setSeen((last) => ({
        lines: [...lines.reverse(), ...last.lines].slice(0, MOST),
        skipped: last.skipped + skipped,
      }))
    }, SHOW_MS)
    return () => {
      end()
      clearInterval(timer)
    }
  }, [])
  return { seen: { ...seen, lines: seen.lines.filter(fits) }, held }
}

function TaskLine({ at, data }: { at: number; data: FeedTask }) {
  return (
    <tr>
      <td>{time(at)}</td>
      <td>
        <a href={paths.task(data.id)}>{data.id}</a>
      </td>
      <td>
        <TaskStatusMark status={data.status} />
      </td>
      <td>
        {/* Of one that was completed the status says it. */}
        {data.end !== null && data.end !== 'completed' && <EndMark end={data.end} fault={data.fault} />}
      </td>
      <td class="cut">{data.model}</td>
      <td class="cut">{data.node !== null && <a href={paths.node(data.node)}>{data.node}</a>}</td>
      <td class="figure">{data.attempt === 0 ? '' : number(data.attempt)}</td>
      <td class="figure">{duration(data.ms / 1000)}</td>
    </tr>
  )
}

function NodeLine({ at, data }: { at: number; data: FeedNode }) {
  const t = words.value
  return (
    <tr>
      <td>{time(at)}</td>
      <td />
      <td colSpan={3}>
        {data.status === null ? t.feed.forgotten : <NodeStatusMark status={data.status} />}
        {data.reason !== null && <span class="quiet"> {data.reason}</span>}
      </td>
      <td class="cut">
        <a href={paths.node(data.id)}>{data.id}</a>
      </td>
      <td colSpan={2} />
    </tr>
  )
}

/**
 * What an event says never changes, so its row is not rendered again: a component that reads a signal is left alone while its properties
 * are the same. The element is not to be kept instead: each knows its parent, that all its children, and so nothing would ever be free.
 */
const rowOf = ({ key, at, ...event }: Line) =>
  event.event === 'task' ? (
    <TaskLine at={at} data={event.data} key={key} />
  ) : (
    <NodeLine at={at} data={event.data} key={key} />
  )

const kinds = ['all', 'tasks', 'failures', 'nodes'] as const
type Kind = (typeof kinds)[number]
const ofKind: Readonly<Record<Kind, (line: Line) => boolean>> = {
  all: () => true,
  tasks: ({ event }) => event === 'task',
  failures: (line) =>
    line.event === 'task' &&
    (line.data.status === 'failed' ||
      line.data.status === 'timeout' ||
      (line.data.end !== null && line.data.end !== 'completed')),
  nodes: ({ event }) => event === 'node',
}

export function FeedView() {
  const t = words.value
  const { query, path, route } = useLocation()
  const [paused, setPaused] = useState(false)
  const kind = kinds.find((k) => k === query['kind']) ?? 'all'
  const { model = '', node = '' } = query
  const fits = (line: Line): boolean =>
    ofKind[kind](line) &&
    (model === '' || (line.event === 'task' && line.data.model.includes(model))) &&
    (node === '' || (line.event === 'task' ? line.data.node === node : line.data.id === node))
  const { seen, held } = useLines(fits, paused)
  const set = (more: Query): void => route(withQuery(path, { ...query, ...more }), true)
  const second = tick.value?.second
  return (
    <main id="main">
      <h1>{t.nav.feed}</h1>
      <form class="filters" onSubmit={(e) => e.preventDefault()} aria-label={t.tasks.filters}>
        <label>
          {t.feed.kind}
          <select value={kind} onChange={(e) => set({ kind: e.currentTarget.value })}>
            {kinds.map((k) => (
              <option value={k} key={k}>
                {t.feed.kinds[k]}
              </option>
            ))}
          </select>
        </label>
        <label>
          {t.tasks.model}
          <input type="search" value={model} onInput={(e) => set({ model: e.currentTarget.value.trim() })} />
        </label>
        <label>
          {t.tasks.node}
          <input type="search" value={node} onInput={(e) => set({ node: e.currentTarget.value.trim() })} />
        </label>
        <button type="button" aria-pressed={paused} class={paused ? 'primary' : ''} onClick={() => setPaused(!paused)}>
          {paused ? t.feed.resume(number(held)) : t.feed.pause}
        </button>
      </form>
      {second !== undefined && (
        <p class="quiet">
          {t.feed.second(
            number(second.submitted),
            number(second.started),
            number(second.completed),
            number(second.failed + second.timeout),
          )}
          {seen.skipped > 0 && ` ${t.feed.skipped(counted(seen.skipped))}`}
        </p>
      )}
      {seen.lines.length === 0 ? (
        <Empty title={connection.value === 'live' ? t.feed.none : t.live.connecting}>{t.feed.noneWhy}</Empty>
      ) : (
        <Scroll label={t.nav.feed}>
          <table class="fixed">
            <thead>
              <tr>
                <th scope="col">{t.chart.time}</th>
                <th scope="col">{t.tasks.id}</th>
                <th scope="col">{t.tasks.status}</th>
                <th scope="col">{t.task.end}</th>
                <th scope="col">{t.tasks.model}</th>
                <th scope="col">{t.tasks.node}</th>
                <th scope="col" class="figure">
                  {t.tasks.attempt}
                </th>
                <th scope="col" class="figure">
                  {t.feed.age}
                </th>
              </tr>
            </thead>
            <tbody>{seen.lines.map(rowOf)}</tbody>
          </table>
        </Scroll>
      )}
    </main>
  )
}
