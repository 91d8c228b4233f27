import type { Answer, Service } from './service.js'
import { until } from './wait.js'

type Rest = Pick<Service, 'get' | 'post' | 'send'>

const at = (kind: 'tasks' | 'nodes', id: string): string => `/api/v1/${kind}/${encodeURIComponent(id)}`

/** All nodes as the service lists them. */
export const nodesOf = async (service: Pick<Rest, 'get'>) => (await service.get('/api/v1/nodes')).body?.data

/** One node of that list; undefined when it is not in it. */
export const nodeOf = async (service: Pick<Rest, 'get'>, id: string) =>
  (await nodesOf(service)).find((n: { node_id: string }) => n.node_id === id)

/** Waits until a node is shown with this status. */
export const nodeIs = (service: Pick<Rest, 'get'>, id: string, status: string) =>
  until(async () => (await nodeOf(service, id))?.status === status, `${id} being ${status}`)

/** Everything the service says about a task. */
export const detailOf = async (service: Pick<Rest, 'get'>, id: string) =>
  (await service.get(at('tasks', id))).body?.data

export const complete = (
  service: Pick<Rest, 'post'>,
  inference_node_id: string,
  task_id: string,
  more: Record<string, unknown> = {},
) => service.post('/api/v1/tasks/complete', { task_id, output: 'out', confidence: 0.85, inference_node_id, ...more })

export const fail = (
  service: Pick<Rest, 'post'>,
  inference_node_id: string,
  task_id: string,
  more: Record<string, unknown> = {},
) => service.post('/api/v1/tasks/fail', { task_id, inference_node_id, error: 'the model crashed', ...more })

export const cancel = (service: Pick<Rest, 'send'>, id: string) => service.send('POST', `${at('tasks', id)}/cancel`)
export const retry = (service: Pick<Rest, 'send'>, id: string) => service.send('POST', `${at('tasks', id)}/retry`)
export const drain = (service: Pick<Rest, 'send'>, id: string) => service.send('POST', `${at('nodes', id)}/drain`)
export const resume = (service: Pick<Rest, 'send'>, id: string) => service.send('POST', `${at('nodes', id)}/resume`)
export const forget = (service: Pick<Rest, 'send'>, id: string) => service.send('DELETE', at('nodes', id))

export const heartbeat = (service: Pick<Rest, 'post'>, node_id: string, status: string) =>
  service.post('/api/v1/nodes/heartbeat', { node_id, status })

/** Submits a batch. @returns the answer to each of its entries */
export const batch = async (service: Pick<Rest, 'post'>, tasks: unknown[]) =>
  (await service.post('/api/v1/tasks/batch', { tasks })).body?.data.results as (
    | { task_id: string }
    | { error: string; code: string }
  )[]

export const statusAndCode = (answer: Answer) => ({ status: answer.status, code: answer.body?.code })

export const statsOf = async (service: Pick<Rest, 'get'>) => (await service.get('/api/v1/stats')).body?.data
