import { done } from '../lib/result.js'
import { callbacksQuery } from '../wire/callbacks.js'
import { fail } from './answers.js'
import { parse } from './body.js'
import type { RouteParts } from './route-parts.js'
import type { Routes } from './routes.js'
import { callbackEntry } from './views.js'

/** Callbacks, and how they stand. */
export function callbackRoutes({ get, command, answer }: Routes, { ask }: RouteParts): void {
  get('/api/v1/callbacks', async (c) => {
    const query = parse(callbacksQuery, c.req.query())
    if (!query.ok) return fail(c, query)
    const { state = null, cursor = null, limit } = query.value
    const page = await ask(c.env, { op: 'callbacks', state, before: cursor, limit })
    if (!page.ok) return answer(c, page)
    const { callbacks, hidden, next } = page.value
    return answer(c, done({ callbacks: callbacks.map((one) => callbackEntry(one, hidden)), next_cursor: next }))
  })
  command({
    method: 'POST',
    path: '/api/v1/tasks/:task_id/callback/retry',
    name: 'task_id',
    place: -3,
    async run(task_id, exchange) {
      const again = await ask(exchange, { op: 'callbackRetry', task_id })
      return again.ok ? done(callbackEntry(again.value.callback, again.value.hidden)) : again
    },
  })
}
