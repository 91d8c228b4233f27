import { callbackRoutes as routes } from '../contract/task-routes.js'
import { done } from '../lib/result.js'
import type { RouteParts } from './route-parts.js'
import type { Routes } from './routes.js'
import { callbackEntry } from './views.js'

/** Callbacks, and how they stand. */
export function callbackRoutes({ get, command, answer }: Routes, { ask }: RouteParts): void {
  get(routes.listCallbacks, async (c, { state = null, cursor = null, limit }) => {
    const page = await ask(c.env, { op: 'callbacks', state, before: cursor, limit })
    if (!page.ok) return answer(c, page)
    const { callbacks, hidden, next } = page.value
    return answer(c, done({ callbacks: callbacks.map((one) => callbackEntry(one, hidden)), next_cursor: next }))
  })
  command(routes.retryCallback, async (task_id, exchange) => {
    const again = await ask(exchange, { op: 'callbackRetry', task_id })
    return again.ok ? done(callbackEntry(again.value.callback, again.value.hidden)) : again
  })
}
