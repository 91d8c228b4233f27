import { fill } from '../../lib/bar.js'
import { fitTable, type Cell, type Column } from '../../lib/table.js'
import { statusOf, type NodeEntry } from '../nodes/node-call.js'
import { durationOf, percentOf } from '../print.js'
import type { Model } from './answers.js'
import { line, sparkline, type Line, type Style } from './line.js'
import { fits, fitsFeed, type FeedEntry, type TopState, type View } from './state.js'

/** What is seen of a view. */
export interface Body {
  /** What stays above. */
  head: readonly Line[]
  /** Those of the rows that are seen. */
  rows: readonly Line[]
  /** How many rows are above them, and how many there are. */
  from: number
  total: number
  /** How many rows there is room for. */
  room: number
}

/** Where a view is drawn: how wide and high, and how many rows are above, if there are as many. */
export interface Place {
  columns: number
  lines: number
  scroll: number
}

/** @param now Unix ms */
export const bodyOf = (state: TopState, place: Place, now: number): Body => VIEW_OF[state.view](state, place, now)

const VIEW_OF: Readonly<Record<View, (state: TopState, place: Place, now: number) => Body>> = {
  overview: overviewBody,
  models: modelsBody,
  nodes: nodesBody,
  feed: feedBody,
}

/** Seconds as people read them, short: `0.35 s`, `12 s`, `3 min 20 s`. */
export function shortTime(seconds: number | null): string | null {
  if (seconds === null) return null
  if (seconds >= 60) return durationOf(seconds)
  if (seconds >= 10 || seconds === 0) return `${Math.round(seconds)} s`
  return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`
}

/** Those of the items that are seen. */
function windowOf<T>(
  head: readonly Line[],
  all: readonly T[],
  { lines, scroll }: Place,
  draw: (seen: T[]) => Line[],
): Body {
  const room = Math.max(0, lines - head.length)
  const from = Math.max(0, Math.min(scroll, all.length - room))
  const rows = draw(all.slice(from, room === Infinity ? undefined : from + room))
  return { head, rows, from, total: all.length, room }
}

const textBody = (place: Place, ...all: Line[]): Body => windowOf([], all, place, (seen) => seen)

interface TableParts<T> {
  cells(item: T): Cell[]
  style(item: T): Style | undefined
  /** What is said where there is none. */
  empty: string
  above?: readonly Line[]
}

/** A table, each row in its style. Only what is seen is made: there may be a thousand of them, many times a second. */
function tableBody<T>(columns: readonly Column[], items: readonly T[], place: Place, parts: TableParts<T>): Body {
  const { cells, style, empty, above = [] } = parts
  if (items.length === 0) return textBody(place, line(empty, 'dim'))
  let titles = line('')
  const body = windowOf([...above, titles], items, place, (seen) => {
    const [head = '', , ...rows] = fitTable(columns, seen.map(cells), place.columns).lines
    titles = line(head, 'bold')
    return rows.map((text, i) => line(text, seen[i] === undefined ? undefined : style(seen[i])))
  })
  return { ...body, head: [...above, titles] }
}

/** As it is, not as a language has it: many are compared, many times a second. */
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const NOTHING_YET = 'asking the service ...'
const noneFits = (filter: string): string => `nothing has "${filter}" in it; Esc shows everything`

const MODEL_COLUMNS = [
  { title: 'model', importance: 99, shrinksTo: 14 },
  { title: 'waiting' },
  { title: 'oldest', importance: 98 },
  { title: 'running', importance: 97 },
  { title: 'free', importance: 96 },
  { title: 'nodes', importance: 8 },
  { title: 'done/s', importance: 10 },
  { title: 'failed', importance: 12 },
  { title: 'begins in', importance: 7 },
  { title: 'wait 50 %', importance: 3 },
  { title: 'wait 95 %', importance: 11 },
  { title: 'word 50 %', importance: 1 },
  { title: 'word 95 %', importance: 5 },
  { title: 'run 50 %', importance: 2 },
  { title: 'run 95 %', importance: 6 },
  { title: 'tokens/s', importance: 4 },
]

/** By the age of what waits. */
const worstFirst = (a: Model, b: Model): number =>
  (b.oldest_waiting_seconds ?? -1) - (a.oldest_waiting_seconds ?? -1) ||
  b.waiting - a.waiting ||
  b.failed_1h - a.failed_1h ||
  b.running - a.running ||
  byText(a.model, b.model)

const modelRow = {
  cells: (m: Model): Cell[] => [
    m.model,
    m.waiting,
    shortTime(m.oldest_waiting_seconds),
    m.running,
    m.nodes === 0 ? 'no node' : `${m.free_slots} of ${m.slots}`,
    m.nodes,
    Number(m.rate_1m.toFixed(1)),
    m.failed_1h,
    shortTime(m.eta_seconds),
    shortTime(m.wait_p50),
    shortTime(m.wait_p95),
    shortTime(m.first_word_p50),
    shortTime(m.first_word_p95),
    shortTime(m.run_p50),
    shortTime(m.run_p95),
    m.tokens_per_second === 0 ? null : Math.round(m.tokens_per_second),
  ],
  style: (m: Model): Style | undefined => {
    if (m.waiting > 0 && m.nodes === 0) return 'bad'
    return m.waiting > 0 && (m.oldest_waiting_seconds ?? 0) > OLD_SECONDS ? 'warn' : undefined
  },
}
/** What has waited for longer than this is worth a look. */
const OLD_SECONDS = 60

function modelsBody({ models, filter }: TopState, place: Place): Body {
  if (models === null) return textBody(place, line(NOTHING_YET, 'dim'))
  const found = models.filter((m) => fits(filter, m.model)).sort(worstFirst)
  const empty = filter === '' ? 'no node has listed a model yet, and nothing waits' : noneFits(filter)
  return tableBody(MODEL_COLUMNS, found, place, { ...modelRow, empty })
}

const NODE_COLUMNS = [
  { title: 'node', importance: 99, shrinksTo: 14 },
  { title: 'status' },
  { title: 'busy slots', importance: 98 },
  { title: 'models', importance: 5, shrinksTo: 10 },
  { title: 'success', importance: 7 },
  { title: 'mean', importance: 4 },
  { title: 'failures in row', importance: 3 },
  { title: 'by', importance: 1 },
  { title: 'seen', importance: 6 },
  { title: 'reason', importance: 8, shrinksTo: 12 },
]
/** Of more slots than this it is said how many, and not drawn. */
const MAX_DRAWN_SLOTS = 8

const cooldownLeft = ({ cooled_until }: NodeEntry, now: number): number =>
  cooled_until === null ? 0 : Math.max(0, Math.ceil(cooled_until - now / 1000))

function statusWith(node: NodeEntry, now: number): string {
  const left = cooldownLeft(node, now)
  return left === 0 ? statusOf(node) : `${statusOf(node)}, cooldown ${shortTime(left)}`
}

/** What it holds beyond its slots waits there for one. */
function slotsOf({ in_progress_tasks: held, max_concurrent_tasks: all }: NodeEntry): string {
  const said = `${Math.min(held, all)} of ${all}${held > all ? ` +${held - all}` : ''}`
  return all > MAX_DRAWN_SLOTS ? said : `${fill(held, all)} ${said}`
}

/** What wants to be seen first: those that could work and do not. */
const rank = (n: NodeEntry, now: number): number =>
  n.status === 'maintenance' || cooldownLeft(n, now) > 0 ? 0 : n.status === 'offline' ? 1 : 2

function nodesBody({ nodes, filter, hasMoreNodes }: TopState, place: Place, now: number): Body {
  if (nodes === null) return textBody(place, line(NOTHING_YET, 'dim'))
  const found = nodes
    .filter((n) => fits(filter, n.node_id, statusWith(n, now), n.status_reason ?? '', ...n.supported_models))
    .sort((a, b) => rank(a, now) - rank(b, now) || byText(a.node_id, b.node_id))
  const empty =
    filter === '' ? 'no node has joined; on a machine with a model: stacks-signer run-inference-node' : noneFits(filter)
  const more =
    filter === ''
      ? `there are more than these ${nodes.length} nodes; / finds one by its id`
      : 'these are found by their ids: there are too many nodes to look for anything else of them'
  return tableBody(NODE_COLUMNS, found, place, {
    above: hasMoreNodes ? [line(more, 'dim')] : [],
    cells: (n) => [
      n.node_id,
      statusWith(n, now),
      slotsOf(n),
      n.supported_models.join(', '),
      percentOf(n.success_rate),
      n.average_inference_time === 0 ? null : shortTime(n.average_inference_time),
      n.failures_in_row,
      n.transport === 'websocket' ? 'session' : 'polls',
      `${durationOf(Math.max(0, now / 1000 - n.last_heartbeat))} ago`,
      n.status_reason ?? null,
    ],
    style: (n) => (n.status === 'offline' ? 'dim' : rank(n, now) === 0 ? 'warn' : undefined),
    empty,
  })
}

const FEED_COLUMNS = [
  { title: 'time' },
  { title: 'status', importance: 9 },
  { title: 'what', importance: 8, shrinksTo: 30 },
  { title: 'id', importance: 7, shrinksTo: 13 },
]

function feedBody({ feed, filter }: TopState, place: Place): Body {
  const found = feed.filter((entry) => fitsFeed(filter, entry))
  const empty = filter === '' ? 'nothing has happened since this began' : noneFits(filter)
  return tableBody(FEED_COLUMNS, found, place, {
    cells: ({ at, kind, id, status, detail }: FeedEntry) => [
      clock(at),
      status === '' ? kind : status,
      kind === 'node' ? `node${detail === '' ? '' : `: ${detail}`}` : detail,
      id === '' ? null : id,
    ],
    style: ({ isBad }) => (isBad ? 'bad' : undefined),
    empty,
  })
}

/** The time of day, UTC. @param at Unix ms */
export const clock = (at: number): string => `${new Date(at).toISOString().slice(11, 19)}Z`

const mostOf = (values: readonly (number | null)[]): number | null => {
  const measured = values.filter((value) => value !== null)
  return measured.length === 0 ? null : Math.max(...measured)
}

const LABEL = 18
const VALUE = 9

function overviewBody(state: TopState, place: Place): Body {
  const { overview, models, filter } = state
  const { columns } = place
  if (overview === null) return textBody(place, line(NOTHING_YET, 'dim'))
  const { series, failures } = overview
  const perSecond = (counts: readonly number[]): number[] => counts.map((count) => count / series.step_seconds)
  const failed = series.failed.map((count, i) => count + (series.timeout[i] ?? 0))
  /** The last step is not over: it would look like a fall. */
  const trend = (label: string, values: readonly (number | null)[], unit: (value: number | null) => string): Line => {
    const whole = values.slice(0, -1)
    return [
      { text: label.padEnd(LABEL) },
      { text: unit(whole.at(-1) ?? null).padStart(VALUE) },
      { text: unit(mostOf(whole)).padStart(VALUE), style: 'dim' },
      { text: `  ${sparkline(whole, columns - LABEL - 2 * VALUE - 2)}`, style: 'good' },
    ]
  }
  const rate = (value: number | null): string => `${(value ?? 0).toFixed(1)}/s`
  const time = (value: number | null): string => shortTime(value) ?? '-'
  const ends = failures.map(({ end, fault, count }) => `${count} ${end}${fault === null ? '' : ` (${fault})`}`)
  const table = modelsBody({ ...state, models: models ?? [] }, { columns, lines: Infinity, scroll: 0 })
  return textBody(
    place,
    line(`${'15 minutes'.padEnd(LABEL)}${'now'.padStart(VALUE)}${'most'.padStart(VALUE)}`, 'bold'),
    trend('submitted', perSecond(series.submitted), rate),
    trend('completed', perSecond(series.completed), rate),
    trend('failed', perSecond(failed), rate),
    trend('wait 95 %', series.wait_p95, time),
    trend('first word 95 %', series.first_word_p95, time),
    trend('run 95 %', series.run_p95, time),
    [
      { text: 'failed attempts '.padEnd(LABEL) },
      { text: ends.length === 0 ? 'none' : ends.join(', '), style: ends.length === 0 ? undefined : 'warn' },
    ],
    line(''),
    ...(models === null && filter === '' ? [] : [...table.head, ...table.rows]),
  )
}
