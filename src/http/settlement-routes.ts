import { done } from '../lib/result.js'
import { settlementsQuery } from '../wire/settlement.js'
import { fail } from './answers.js'
import { parse } from './body.js'
import { pathId } from './paths.js'
import type { RouteParts } from './route-parts.js'
import type { Routes } from './routes.js'
import { settlementView } from './views.js'

/** What becomes of payments, as operators see it. */
export function settlementRoutes({ get, command, answer }: Routes, { ask }: RouteParts): void {
  get('/api/v1/settlements', async (c) => {
    const query = parse(settlementsQuery, c.req.query())
    if (!query.ok) return fail(c, query)
    const { state, cursor = null, limit } = query.value
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
  get('/api/v1/settlements/:task_id', async (c) => {
    const id = pathId(c.req.url, 'task_id', -1)
    if (!id.ok) return fail(c, id)
    const found = await ask(c.env, { op: 'settlement', task_id: id.value })
    return answer(c, found.ok ? done(settlementView(found.value)) : found)
  })
  command({
    method: 'POST',
    path: '/api/v1/settlements/:task_id/retry',
    name: 'task_id',
    async run(task_id, exchange) {
      const again = await ask(exchange, { op: 'settlementRetry', task_id })
      return again.ok ? done(settlementView(again.value)) : again
    },
  })
}
