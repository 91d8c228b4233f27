import type { FeedEvent } from '../../wire/watch-events.js'
import { describeEvent, type Told } from '../feed/describe.js'
import type { NodeEntry } from '../nodes/node-call.js'
import type { Model, Overview } from './answers.js'

export const VIEWS = ['overview', 'models', 'nodes', 'feed'] as const
export type View = (typeof VIEWS)[number]

/** How the service as a whole stands. */
export interface Figures {
  waiting: number
  running: number
  oldest_waiting_seconds: number | null
  failed_1h: number
  online_nodes: number
  busy_nodes: number
  offline_nodes: number
  maintenance_nodes: number
  slots: number
  free_slots: number
}

/** Whether the feed is there. `again`: Unix ms of the next try. */
export type Link = { is: 'opening' } | { is: 'open' } | { is: 'lost'; why: string; again: number }

export interface FeedEntry extends Told {
  /** Unix ms */
  at: number
}

/** Everything that is seen. It is never changed, but made anew. */
export interface TopState {
  view: View
  /** What a row has to have in it to be shown, in any case of letters; empty: nothing. */
  filter: string
  /** Whether keys are letters of the filter. */
  isTyping: boolean
  /** How many rows of each view are above what is seen. */
  scroll: Readonly<Record<View, number>>
  link: Link
  /** Why the service does not answer, or may not be asked; null when it does. */
  refused: string | null
  figures: Figures | null
  /** When the figures were so, Unix ms. */
  figuresAt: number
  /** When the service started, Unix ms; null: not known yet. */
  startedAt: number | null
  overview: Overview | null
  models: readonly Model[] | null
  nodes: readonly NodeEntry[] | null
  /** Whether there are more nodes than are shown. */
  hasMoreNodes: boolean
  /** The newest first. */
  feed: readonly FeedEntry[]
}

/** So many events are kept for who looks back. */
const MAX_FEED = 1000

export const begin = (): TopState => ({
  view: 'overview',
  filter: '',
  isTyping: false,
  scroll: { overview: 0, models: 0, nodes: 0, feed: 0 },
  link: { is: 'opening' },
  refused: null,
  figures: null,
  figuresAt: 0,
  startedAt: null,
  overview: null,
  models: null,
  nodes: null,
  hasMoreNodes: false,
  feed: [],
})

/** Whether one of these has the filter in it. */
export const fits = (filter: string, ...texts: readonly string[]): boolean =>
  filter === '' || texts.some((text) => text.toLowerCase().includes(filter.toLowerCase()))

export const fitsFeed = (filter: string, { id, status, detail }: Told): boolean => fits(filter, id, status, detail)

/** @param now Unix ms */
export function withOverview(state: TopState, overview: Overview, now: number): TopState {
  const { totals, oldest_waiting_seconds, failed_1h, slots, free_slots } = overview
  const { online_nodes, busy_nodes, offline_nodes, maintenance_nodes } = totals
  const startedAt = now - totals.uptime_seconds * 1000
  return {
    ...state,
    overview,
    startedAt,
    figures: {
      waiting: totals.pending_tasks,
      running: totals.processing_tasks,
      oldest_waiting_seconds,
      failed_1h,
      online_nodes,
      busy_nodes,
      offline_nodes,
      maintenance_nodes,
      slots,
      free_slots,
    },
    figuresAt: now,
  }
}

/** @param now Unix ms */
export function withEvent(state: TopState, event: FeedEvent, now: number): TopState {
  if (event.event === 'tick') {
    const { totals, models } = event.data
    const byName = new Map(models.map((m) => [m.model, m]))
    return {
      ...state,
      figures: totals,
      figuresAt: now,
      models: state.models?.map((m) => ({ ...m, ...byName.get(m.model) })) ?? null,
    }
  }
  const entry: FeedEntry = { ...describeEvent(event), at: now }
  // Who has scrolled back reads on where he was.
  const isReading = state.scroll.feed > 0 && fitsFeed(state.filter, entry)
  return {
    ...state,
    feed: [entry, ...state.feed.slice(0, MAX_FEED - 1)],
    scroll: isReading ? { ...state.scroll, feed: state.scroll.feed + 1 } : state.scroll,
    nodes: event.event === 'node' ? nodesWith(state.nodes, event.data) : state.nodes,
  }
}

function nodesWith(
  nodes: TopState['nodes'],
  { id, status, reason }: Extract<FeedEvent, { event: 'node' }>['data'],
): TopState['nodes'] {
  if (nodes === null) return null
  if (status === null) return nodes.filter((n) => n.node_id !== id)
  return nodes.map((n) => (n.node_id === id ? { ...n, status, status_reason: reason } : n))
}
