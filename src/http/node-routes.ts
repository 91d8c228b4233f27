import { nodeRoutes as routes } from '../contract/node-routes.js'
import { taskRoutes } from '../contract/task-routes.js'
import { refuse } from '../lib/result.js'
import { takeRequests } from './allowance.js'
import { cut, fail, okText, refused } from './answers.js'
import type { RouteParts } from './route-parts.js'
import { createNodeList } from './node-list.js'
import { said, type Routes } from './routes.js'

/** What the list of nodes counts as among the requests of an address. */
const LIST_COST = 10
/** Nodes of a page, unless the request says how many. */
const DEFAULT_PAGE = 50

/** The nodes, as operators see and lead them, and where sessions begin. */
export function nodeRoutes({ get, command }: Routes, { ask, gate }: RouteParts): void {
  const nodeList = createNodeList(ask, gate)

  get(routes.listNodes, async (c, query) => {
    const tooFast = takeRequests(c.env, LIST_COST - 1)
    if (tooFast !== null) return cut(c, tooFast)
    const { cursor, limit, status = null, model = null, q = null } = query
    if (Object.values(query).every((value) => value == null)) {
      const all = await nodeList.all(c)
      return all.ok ? all.value : refused(c, all)
    }
    const page = await nodeList.page(c.env, cursor ?? null, limit ?? DEFAULT_PAGE, { status, model, q })
    return page.ok ? okText(c, page.value) : refused(c, page)
  })

  for (const [route, whose] of [
    [routes.openNodeSession, 'node'],
    [taskRoutes.openTaskSession, 'submitter'],
  ] as const) {
    get(route, (c) => {
      const refusal = refuse(
        'upgrade_required',
        `this is the WebSocket endpoint of ${whose} sessions; connect with a WebSocket client`,
      )
      return fail(c, refusal, { headers: { Upgrade: 'websocket' } })
    })
  }

  command(routes.drainNode, (node_id, exchange) =>
    said(ask(exchange, { op: 'drain', node_id, drained: true }), 'Node drains'),
  )
  command(routes.resumeNode, (node_id, exchange) =>
    said(ask(exchange, { op: 'drain', node_id, drained: false }), 'Node resumed'),
  )
  command(routes.forgetNode, (node_id, exchange) => said(ask(exchange, { op: 'forget', node_id }), 'Node forgotten'))
}
