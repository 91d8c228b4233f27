import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { watchRoutes as routes } from '../contract/watch-routes.js'
import { refuse } from '../lib/result.js'
import { modelKey } from '../rules/models.js'
import { redact } from '../rules/ownership.js'
import type { NodeDetailView, OverviewView } from '../wire/watch-answers.js'
import { takeRequests } from './allowance.js'
import { cut, fail, ok, refused, text } from './answers.js'
import { parse } from './body.js'
import { openEventStream } from './event-stream.js'
import { pathId } from './paths.js'
import type { RouteParts } from './route-parts.js'
import type { Routes } from './routes.js'
import { nodeEntry, statsView } from './views.js'

/** What a look at figures counts as among the requests of an address. */
const LOOK_COST = 5
/** A reader of the feed for whom more waits than this is cut off, bytes. */
const MAX_UNREAD_BYTES = 1024 * 1024

const NO_ROOM = refuse('unavailable', 'the feed has 100 readers, the most it may; try again later, or end one of them')

/** What those look at who watch the service. */
export function watchRoutes({ get, getOnly }: Routes, { ask, feed, configuration, metrics = null }: RouteParts): void {
  get(routes.listModelRates, async (c) => {
    const tooFast = takeRequests(c.env, LOOK_COST - 1)
    if (tooFast !== null) return cut(c, tooFast)
    const found = await ask(c.env, { op: 'modelRates' })
    return found.ok ? ok(c, found.value) : refused(c, found)
  })

  get(routes.getOverview, async (c, { window, model = null }) => {
    const tooFast = takeRequests(c.env, LOOK_COST - 1)
    if (tooFast !== null) return cut(c, tooFast)
    const found = await ask(c.env, { op: 'overview', window, model })
    if (!found.ok) return refused(c, found)
    return ok(c, { ...found.value, totals: statsView(found.value.totals) } satisfies OverviewView)
  })

  get(routes.getNode, async (c) => {
    const id = pathId(c.req.url, 'node_id', -1)
    if (!id.ok) return fail(c, id)
    const tooFast = takeRequests(c.env, LOOK_COST - 1)
    if (tooFast !== null) return cut(c, tooFast)
    const found = await ask(c.env, { op: 'nodeDetail', node_id: id.value })
    if (!found.ok) return refused(c, found)
    const { node, more, hidden } = found.value
    return ok(c, redact({ ...nodeEntry(node), ...more } satisfies NodeDetailView, hidden))
  })

  get(routes.getConfiguration, async (c) => {
    const allowed = await ask(c.env, { op: 'configuration' })
    return allowed.ok ? ok(c, configuration) : refused(c, allowed)
  })

  get(routes.getMetrics, async (c) => {
    if (metrics === null) return fail(c, refuse('not_found', 'this service tells no metrics ([metrics] enabled)'))
    const tooFast = takeRequests(c.env, LOOK_COST - 1)
    if (tooFast !== null) return cut(c, tooFast)
    const found = await ask(c.env, { op: 'metrics' })
    if (!found.ok) return refused(c, found)
    return text(c, await metrics.text(found.value), { 'Content-Type': metrics.type })
  })

  // To ask for its headers only would begin it, and never end.
  getOnly(routes.followEvents, async (c) => {
    const exchange = c.env
    const opened = await ask(exchange, { op: 'feedOpen' })
    if (!opened.ok) return refused(c, opened)
    const query = parse(routes.followEvents.query, c.req.query())
    if (!query.ok || !feed.hasRoom() || exchange.request.socket.destroyed) {
      feed.abandon()
      return fail(c, query.ok ? NO_ROOM : query)
    }
    const { types = null, model = null, node = null } = query.value
    const stream = openEventStream(exchange, { retry: true, maxUnsent: MAX_UNREAD_BYTES })
    const leave = feed.open({
      by: exchange.by,
      filter: { types, model: model === null ? null : modelKey(model), node },
      last: c.req.header('last-event-id') ?? null,
      write: stream.sendAll,
      end: stream.end,
    })
    exchange.onEnd(leave)
    return RESPONSE_ALREADY_SENT
  })
}
