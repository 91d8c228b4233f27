import { settlementRoutes as routes } from '../contract/task-routes.js'
import { done } from '../lib/result.js'
import { fail } from './answers.js'
import { pathId } from './paths.js'
import type { RouteParts } from './route-parts.js'
import type { Routes } from './routes.js'
import { settlementView } from './views.js'

/** What becomes of payments, as operators see it. */
export function settlementRoutes({ get, command, answer }: Routes, { ask }: RouteParts): void {
  get(routes.listSettlements, async (c, { state, cursor = null, limit }) => {
    const page = await ask(c.env, {
      op: 'settlements',
      states: state == null ? [] : [state],
      before: cursor,
      limit,
    })
    if (!page.ok) return answer(c, page)
    const { settlements, next } = page.value
    return answer(c, done({ settlements: settlements.map(settlementView), next_cursor: next }))
  })
  get(routes.getSettlement, async (c) => {
    const id = pathId(c.req.url, 'task_id', -1)
    if (!id.ok) return fail(c, id)
    const found = await ask(c.env, { op: 'settlement', task_id: id.value })
    return answer(c, found.ok ? done(settlementView(found.value)) : found)
  })
  command(routes.retrySettlement, async (task_id, exchange) => {
    const again = await ask(exchange, { op: 'settlementRetry', task_id })
    return again.ok ? done(settlementView(again.value)) : again
  })
}
