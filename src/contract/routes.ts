import { accessRoutes, signInRoutes } from './access-routes.js'
import { delegationRoutes, nodeRoutes, pollingRoutes } from './node-routes.js'
import type { RouteTable } from './route.js'
import { serviceRoutes } from './service-routes.js'
import { settlementRoutes, taskRoutes } from './task-routes.js'

/** Every route of the service, by subject. A route that is not in it cannot be served. */
export const contract = {
  Tasks: taskRoutes,
  Polling: pollingRoutes,
  Nodes: nodeRoutes,
  Settlements: settlementRoutes,
  Delegations: delegationRoutes,
  Access: accessRoutes,
  'Sign-in': signInRoutes,
  Service: serviceRoutes,
} as const satisfies Readonly<Record<string, RouteTable>>

/** The path of a route as OpenAPI has it: `/api/v1/tasks/{task_id}`. */
export const openPath = (path: string): string => path.replace(/:(\w+)(?:\{.*\})?/g, '{$1}')

/** The header that names what a request has in its query and its route does not know. */
export const IGNORED_QUERY = 'X-Ignored-Query'
/** Whether a route has it: those about tasks. */
export const isTaskRoute = (path: string): boolean => /^\/api\/v1\/tasks(?:\/|$)/.test(path)
