import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import { emptyRow } from '../rates/ring.js'
import type { NodeStatus } from '../../wire/fields.js'
import type { FeedNode } from '../../wire/watch-events.js'
import { countOf, type Models } from './models.js'
import type { createOverview } from './overview.js'

/** How often the feed says how everything stands, ms. */
const TICK_MS = 1000
/** So many nodes are told of in one tick; how many more have changed is said with the last. */
const MAX_NODES = 500

/** What each counter was in the last whole second. */
const shownCounters = ['submitted', 'started', 'completed', 'failed', 'timeout', 'cancelled', 'requeued'] as const

/**
 * What the feed is told beside tasks: once a second how everything stands, and which nodes count as something else. That one is busy
 * or free again is told with the next tick, what an operator looks for at once. Nothing is done while nobody reads the feed.
 */
export function createTicks(
  ctx: Context,
  { models, overview }: { models: Models; overview: ReturnType<typeof createOverview> },
) {
  const { registry, figures } = ctx
  const { feed, rates } = figures
  let next = 0
  /** What each node was told to count as. */
  let told = new WeakMap<Node, NodeStatus>()
  const changed = new Set<Node>()

  feed.onRead((read) => {
    told = new WeakMap()
    changed.clear()
    registry.onStatus(read ? (node) => void changed.add(node) : null)
    if (!read) return
    for (const node of registry.nodes.values()) told.set(node, registry.statusOf(node, ctx.now))
    next = 0
    ctx.wake(ctx.now)
  })

  const isUrgent = (status: NodeStatus | undefined): boolean => status === 'offline' || status === 'maintenance'
  /** @param all also those that are busy now, or no longer */
  const tellNodes = (all: boolean): void => {
    const news: FeedNode[] = []
    let skipped = 0
    for (const node of changed) {
      const id = node.row.node_id
      const status = registry.nodes.get(id) === node ? registry.statusOf(node, ctx.now) : null
      const before = told.get(node)
      const isNews = before !== (status ?? undefined)
      const waits = isNews && !all && status !== null && before !== undefined && !isUrgent(status) && !isUrgent(before)
      if (waits) continue
      changed.delete(node)
      if (!isNews) continue
      if (status === null) told.delete(node)
      else told.set(node, status)
      if (news.length === MAX_NODES) skipped++
      else news.push({ id, status, reason: node.session?.reason ?? null })
    }
    const last = news.at(-1)
    if (last !== undefined && skipped > 0) last.skipped = skipped
    for (const data of news) feed.push({ event: 'node', data })
  }

  const tick = (): void => {
    const standing = models.standings()
    const { all } = standing.slots
    const counts = registry.counts(ctx.now)
    const row = emptyRow()
    const second = Math.floor(ctx.wall / 1000)
    rates.total.addSeconds(row, second - 1, second)
    const { oldest_waiting_seconds, failed_1h } = overview.now()
    feed.push({
      event: 'tick',
      data: {
        at_ms: Math.floor(ctx.wall),
        totals: {
          waiting: ctx.store.tasks.counts.pending,
          running: ctx.store.tasks.counts.in_progress,
          oldest_waiting_seconds,
          failed_1h,
          online_nodes: counts.online_nodes,
          busy_nodes: counts.busy_nodes,
          offline_nodes: counts.offline_nodes,
          maintenance_nodes: counts.maintenance_nodes,
          slots: all.slots,
          free_slots: all.free_slots,
        },
        second: Object.fromEntries(shownCounters.map((c) => [c, countOf(row, c)])) as Record<
          (typeof shownCounters)[number],
          number
        >,
        models: models.lines(standing),
      },
    })
  }

  return {
    /** After the commit of a turn. */
    afterTurn(): void {
      if (!feed.isRead()) return
      if (changed.size > 0) tellNodes(false)
      if (ctx.now >= next) {
        next = ctx.now + TICK_MS
        tick()
        tellNodes(true)
      }
      ctx.wake(next)
    },
  }
}
