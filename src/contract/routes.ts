import { accessRoutes, signInRoutes } from './access-routes.js'
import { dashboardRoutes } from './dashboard-routes.js'
import { delegationRoutes, nodeRoutes, pollingRoutes } from './node-routes.js'
import { openAiRoutes } from './openai-routes.js'
import type { RouteTable } from './route.js'
import { serviceRoutes } from './service-routes.js'
import { callbackRoutes, settlementRoutes, taskRoutes } from './task-routes.js'
import { watchRoutes } from './watch-routes.js'

/** Every route of the service, by subject. A route that is not in it cannot be served. */
export const contract = {
  Tasks: taskRoutes,
  OpenAI: openAiRoutes,
  Polling: pollingRoutes,
  Nodes: nodeRoutes,
  Callbacks: callbackRoutes,
  Settlements: settlementRoutes,
  Delegations: delegationRoutes,
  Access: accessRoutes,
  'Sign-in': signInRoutes,
  Watching: watchRoutes,
  Service: serviceRoutes,
  Dashboard: dashboardRoutes,
} as const satisfies Readonly<Record<string, RouteTable>>

/** What the routes of a subject are about. */
export const subjects: Readonly<Record<keyof typeof contract, string>> = {
  Tasks: 'Submitted, looked at, cancelled and retried by who pays for them',
  OpenAI:
    'For clients of OpenAI’s API, with its bodies, its answers and its errors; a request is a task like every other',
  Polling: 'What nodes do that hold no session: they register, poll, complete and fail',
  Nodes: 'Looked at and led by operators',
  Callbacks: 'Where the ends of tasks are told; only where the service sends callbacks',
  Settlements: 'What becomes of payments; only where the service looks at the chain',
  Delegations: 'Where nodes are paid that are not paid at the address of their key',
  Access: 'Tokens, the audit, and what is out of the ordinary',
  'Sign-in': 'How a wallet gets a token',
  Watching: 'How the service stands and what happens in it, for dashboards',
  Service: 'Counters, health and documents',
  Dashboard: 'The page for those who watch the service; what it shows it asks of the other routes',
}

/** The path of a route as OpenAPI has it: `/api/v1/tasks/{task_id}`. */
export const openPath = (path: string): string => path.replace(/:(\w+)(?:\{.*\})?/g, '{$1}')

/** Whether a route has it: those about tasks. */
export const isTaskRoute = (path: string): boolean => /^\/api\/v1\/tasks(?:\/|$)/.test(path)
