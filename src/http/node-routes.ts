import { refuse } from '../lib/result.js'
import { CLIENT_PATH } from '../wire/client.js'
import { NODE_PATH } from '../wire/node.js'
import { nodesQuery } from '../wire/rest.js'
import { takeRequests } from './allowance.js'
import { cut, fail, okText, refused } from './answers.js'
import type { RouteParts } from './route-parts.js'
import { parse } from './body.js'
import { createNodeList } from './node-list.js'
import { said, type Routes } from './routes.js'

/** What the list of nodes counts as among the requests of an address. */
const LIST_COST = 10
/** Nodes of a page, unless the request says how many. */
const DEFAULT_PAGE = 50

/** The nodes, as operators see and lead them, and where sessions begin. */
export function nodeRoutes({ get, command }: Routes, { ask, gate }: RouteParts): void {
  const nodeList = createNodeList(ask, gate)

  get('/api/v1/nodes', async (c) => {
    const tooFast = takeRequests(c.env, LIST_COST - 1)
    if (tooFast !== null) return cut(c, tooFast)
    const query = parse(nodesQuery, c.req.query())
    if (!query.ok) return fail(c, query)
    const { cursor, limit } = query.value
    if (cursor == null && limit == null) {
      const all = await nodeList.all(c)
      return all.ok ? all.value : refused(c, all)
    }
    const page = await nodeList.page(c.env, cursor ?? null, limit ?? DEFAULT_PAGE)
    return page.ok ? okText(c, page.value) : refused(c, page)
  })

  for (const [path, whose] of [
    [NODE_PATH, 'node'],
    [CLIENT_PATH, 'submitter'],
  ] as const) {
    get(path, (c) => {
      const refusal = refuse(
        'upgrade_required',
        `this is the WebSocket endpoint of ${whose} sessions; connect with a WebSocket client`,
      )
      return fail(c, refusal, { headers: { Upgrade: 'websocket' } })
    })
  }

  command({
    method: 'POST',
    path: '/api/v1/nodes/:node_id/drain',
    name: 'node_id',
    run: (node_id, exchange) => said(ask(exchange, { op: 'drain', node_id, drained: true }), 'Node drains'),
  })
  command({
    method: 'POST',
    path: '/api/v1/nodes/:node_id/resume',
    name: 'node_id',
    run: (node_id, exchange) => said(ask(exchange, { op: 'drain', node_id, drained: false }), 'Node resumed'),
  })
  command({
    method: 'DELETE',
    // A parameter must not take the place of a route that has a name.
    path: '/api/v1/nodes/:node_id{(?!(?:register|heartbeat|connect)$)[^/]+}',
    name: 'node_id',
    place: -1,
    run: (node_id, exchange) => said(ask(exchange, { op: 'forget', node_id }), 'Node forgotten'),
  })
}
