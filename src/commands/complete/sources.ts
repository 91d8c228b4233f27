import * as v from 'valibot'
import type { RestClient } from '../../lib/rest-client.js'
import { callbackState } from '../../wire/callbacks.js'
import { settlementState } from '../../wire/settlement.js'
import { taskStatus } from '../../wire/task-answers.js'
import { feedTypes } from '../../wire/watch-events.js'

/** Where values come from: a list that does not change, or the service. */
export type Source = readonly string[] | { ask: (service: RestClient, typed: string) => Promise<string[]> }

/** So many are enough to choose from. Of tasks the newest. */
const MAX_VALUES = '100'

const models: Source = {
  ask: async (service) =>
    (await service.get('/api/v1/models', v.array(v.object({ model: v.string() })))).map(({ model }) => model),
}
const nodes: Source = {
  async ask(service, typed) {
    const query = new URLSearchParams({ limit: MAX_VALUES, ...(typed === '' ? {} : { q: typed }) })
    const page = v.object({ nodes: v.array(v.object({ node_id: v.string() })) })
    return (await service.get(`/api/v1/nodes?${query.toString()}`, page)).nodes.map(({ node_id }) => node_id)
  },
}
const tasks = (...statuses: string[]): Source => ({
  async ask(service) {
    const page = v.object({ tasks: v.array(v.object({ task_id: v.string() })) })
    const lists = await Promise.all(
      (statuses.length === 0 ? [{}] : statuses.map((status) => ({ status }))).map((status) =>
        service.get(`/api/v1/tasks?${new URLSearchParams({ limit: MAX_VALUES, ...status }).toString()}`, page),
      ),
    )
    return lists.flatMap((list) => list.tasks.map(({ task_id }) => task_id))
  },
})

const settlements: Source = {
  async ask(service) {
    const page = v.object({ settlements: v.array(v.object({ task_id: v.string() })) })
    return (await service.get(`/api/v1/settlements?limit=${MAX_VALUES}`, page)).settlements.map((s) => s.task_id)
  },
}

/** The values of flags and of words, by command and name. */
export const SOURCES: Readonly<Record<string, Readonly<Record<string, Source>>>> = {
  ask: { model: models },
  events: { types: [...feedTypes, 'task,node', 'task,node,tick'], model: models, node: nodes },
  complete: { shell: ['bash', 'zsh', 'fish', 'powershell'] },
  'run-inference-node': { backend: ['openai', 'generate', 'command', 'echo'] },
  'tasks list': { status: taskStatus.options, model: models, node: nodes },
  'tasks show': { id: tasks() },
  'tasks watch': { id: tasks('pending', 'in_progress') },
  'tasks cancel': { id: tasks('pending', 'in_progress') },
  'tasks retry': { id: tasks('failed', 'timeout') },
  'tasks submit': { model: models },
  'tasks callbacks list': { state: callbackState.options },
  'tasks callbacks retry': { id: tasks() },
  'receipt get': { id: tasks('completed', 'submitted') },
  'settlements list': { state: settlementState.options },
  'settlements show': { id: settlements },
  'settlements retry': { id: settlements },
  'nodes show': { id: nodes },
  'nodes drain': { id: nodes },
  'nodes resume': { id: nodes },
  'nodes forget': { id: nodes },
  'nodes ban': { id: nodes },
  'nodes rekey': { id: nodes },
  'tokens create': { role: ['metrics', 'viewer', 'user', 'node', 'operator', 'admin'], node: nodes },
  'delegations sign': { network: ['mainnet', 'testnet', 'devnet'] },
}

/** Where the values of a flag or a word of a command come from; null: nobody knows them. @param path as `tasks list` */
export function sourceOf(path: string, name: string): Source | null {
  const ofCommand = Object.hasOwn(SOURCES, path) ? SOURCES[path] : undefined
  return ofCommand !== undefined && Object.hasOwn(ofCommand, name) ? (ofCommand[name] ?? null) : null
}

/**
 * What no shell takes for more than letters: others may choose names, and a shell would run what is in one. Neither "=" nor a first
 * "-", which would make it a flag.
 */
const HARMLESS = /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_.,:@+/%-]*$/u

export const isHarmless = (value: string): boolean => HARMLESS.test(value)
