import { refuse } from '../lib/result.js'
import { accessRoutes } from './access-routes.js'
import { fail } from './answers.js'
import { bodyLimits } from './body-limits.js'
import { callbackRoutes } from './callback-routes.js'
import { dashboardRoutes } from './dashboard-routes.js'
import { delegationRoutes } from './delegation-routes.js'
import { documentRoutes } from './document-routes.js'
import { eventRoutes } from './event-routes.js'
import { nodeRoutes } from './node-routes.js'
import { openAiRoutes } from './openai/routes.js'
import { pollingRoutes } from './polling-routes.js'
import { createReadGate } from './read-gate.js'
import { receiptRoutes } from './receipt-routes.js'
import type { AppParts, RouteParts } from './route-parts.js'
import { createAsk, createRoutes, type App } from './routes.js'
import { serviceRoutes } from './service-routes.js'
import { settlementRoutes } from './settlement-routes.js'
import { signInRoutes } from './sign-in-routes.js'
import { createSignedCalls } from './signed-calls.js'
import { createPreparation } from './submissions.js'
import { taskRoutes } from './task-routes.js'
import { watchRoutes } from './watch-routes.js'

export type { App }

/** The REST contract, by subject. */
export function createApp(parts: AppParts): App {
  const routes = createRoutes()
  const { app } = routes
  const common: RouteParts = {
    ...parts,
    ask: createAsk(parts.call),
    gate: createReadGate(),
    limits: bodyLimits(parts),
    signed: createSignedCalls(parts),
    preparation: createPreparation(parts.prepare ?? null, parts.anonymousSubmit === true),
  }
  pollingRoutes(routes, common)
  nodeRoutes(routes, common)
  taskRoutes(routes, common)
  eventRoutes(routes, common)
  openAiRoutes(routes, common)
  receiptRoutes(routes, common)
  settlementRoutes(routes, common)
  callbackRoutes(routes, common)
  delegationRoutes(routes, common)
  accessRoutes(routes, common)
  signInRoutes(routes, common)
  watchRoutes(routes, common)
  serviceRoutes(routes, common)
  documentRoutes(routes, common)
  dashboardRoutes(routes, common)
  routes.end()
  app.notFound((c) => fail(c, refuse('not_found', `there is no ${c.req.path}; docs/rest.md lists every route`)))
  app.onError((error, c) => {
    const { id } = c.env
    parts.log.error({ err: error, request_id: id, method: c.req.method, path: c.req.path }, 'request failed')
    return fail(
      c,
      refuse('internal', `the service failed; its operator finds the cause in the log under request ${id}`),
    )
  })
  return app
}
