import { durationOf } from '../print.js'
import type { Page } from './keys.js'
import { line, spread, type Line, type Span, type Style } from './line.js'
import { VIEWS, type Figures, type TopState } from './state.js'
import { bodyOf, clock, shortTime } from './views.js'

export interface Size {
  columns: number
  rows: number
}

const TITLES = { overview: 'Overview', models: 'Models', nodes: 'Nodes', feed: 'Feed' } as const
/** What has not been told for longer than this is old: it is told once a second, ms. */
const STALE_MS = 5000
/** What has waited for longer is worth a look, seconds. */
const OLD_SECONDS = 60

/** All lines of the terminal, from the top, and how much of the view is seen. @param now Unix ms */
export function frame(
  state: TopState,
  { columns, rows }: Size,
  url: string,
  now: number,
): { lines: Line[]; page: Page } {
  const top = [
    spread(
      [{ text: 'stacks-signer top  ', style: 'bold' }, { text: url }],
      `${state.startedAt === null ? '' : `up ${durationOf(Math.max(0, now - state.startedAt) / 1000)}  `}${clock(now)}`,
      columns,
    ),
    numbers(state.figures),
    capacity(state.figures),
    news(state, url, now),
    tabs(state),
  ]
  const place = { columns, lines: Math.max(0, rows - top.length - 1), scroll: state.scroll[state.view] }
  const { head, rows: seen, from, total, room } = bodyOf(state, place, now)
  const filling = Array.from({ length: room - seen.length }, () => line(''))
  const shown = total > room ? `${from + 1}-${from + seen.length} of ${total}` : ''
  return {
    lines: [...top, ...head, ...seen, ...filling, foot(state, shown, columns)].slice(0, rows),
    page: { rows: Math.max(1, room - 1), most: Math.max(0, total - room) },
  }
}

/** The four numbers that are looked at first. */
export function numbers(figures: Figures | null): Line {
  const { waiting, running, oldest_waiting_seconds: oldest, failed_1h } = figures ?? {}
  const figure = (label: string, value: string | number | undefined, style: Style = 'bold'): Span[] => [
    { text: `${label} ` },
    { text: String(value ?? '-'), style },
  ]
  const gap = { text: '   ' }
  return [
    ...figure('waiting', waiting),
    gap,
    ...figure('running', running),
    gap,
    ...figure('oldest waiting', shortTime(oldest ?? null) ?? '-', (oldest ?? 0) > OLD_SECONDS ? 'warn' : 'bold'),
    gap,
    ...figure('failed in the last hour', failed_1h, (failed_1h ?? 0) > 0 ? 'bad' : 'bold'),
  ]
}

/** Nodes and slots. */
export function capacity(figures: Figures | null): Line {
  if (figures === null) return line('')
  const { online_nodes, busy_nodes, offline_nodes, maintenance_nodes, slots, free_slots } = figures
  return line(
    `nodes ${online_nodes} online, ${busy_nodes} busy, ${offline_nodes} offline, ${maintenance_nodes} maintenance   slots ${free_slots} of ${slots} free`,
  )
}

/** What is wrong with what is seen; empty when nothing is. @param url is above, and need not be said again */
function news({ link, refused, figures, figuresAt }: TopState, url: string, now: number): Line {
  const age = now - figuresAt
  const old = figures !== null && age > STALE_MS ? `; these figures are ${durationOf(age / 1000)} old` : ''
  const reason = (why: string): string => why.replace(`${url} `, '')
  if (link.is === 'lost') {
    const wait = Math.max(0, Math.ceil((link.again - now) / 1000))
    return line(`NOT CONNECTED: ${reason(link.why)}; again ${wait === 0 ? 'now' : `in ${wait} s`}${old}`, 'bad')
  }
  if (refused !== null) return line(`NOT ANSWERED: ${reason(refused)}${old}`, 'bad')
  if (old !== '') return line(`the service says nothing${old}`, 'warn')
  return link.is === 'opening' ? line('connecting ...', 'dim') : line('')
}

function tabs({ view, filter, isTyping }: TopState): Line {
  const names = VIEWS.map((name): Span => ({
    text: name === view ? `[${TITLES[name]}]` : ` ${TITLES[name]} `,
    style: name === view ? 'chosen' : undefined,
  }))
  const shown: Span[] =
    filter === '' || isTyping
      ? []
      : [{ text: '   only with: ' }, { text: filter, style: 'warn' }, { text: ' (Esc: all)' }]
  return [...names.flatMap((span) => [span, { text: ' ' }]), ...shown]
}

function foot({ filter, isTyping }: TopState, place: string, columns: number): Line {
  if (!isTyping) return spread(line('Tab view  arrows move  / filter  q quit', 'dim'), place, columns)
  const help = '   Enter: done  Esc: all'
  // The end of a long one is seen, for there it is written.
  const shown = [...filter].slice(-Math.max(1, columns - help.length - 2)).join('')
  return [{ text: '/' }, { text: shown, style: 'bold' }, { text: '_' }, { text: help, style: 'dim' }]
}
