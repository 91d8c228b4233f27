import { CLIENT_PATH } from '../wire/client-answers.js'
import { saidView, nodesView, statsView } from '../wire/service-answers.js'
import { modelList } from '../wire/model-answers.js'
import { taskDetailView, tasksPage } from '../wire/task-answers.js'
import { readAddresses } from './address.js'
import type { Ask } from './asks.js'
import { wasClosed } from './errors.js'
import { createLine, type Line } from './line.js'
import { createRest, pathOf, type Token } from './rest.js'
import { createRestFollow } from './rest-follow.js'
import { createTasks } from './tasks.js'
import type { Model, NodeEntry, Stats, TaskDetail, TaskFilter, TaskLine } from './types.js'

/** For so long no session is tried again where none was to be had, ms. */
const BLOCKED_MS = 300_000
/** For so long a close waits for what was given up to be cancelled, ms. */
const CLOSE_GRACE_MS = 5000
/** How long the service may be gone, seconds. */
const PATIENCE_SECONDS = 120

export interface InferenceClientOptions {
  /** The address of the service, such as `http://127.0.0.1:8080`; or those of several that stand for each other. */
  url: string | readonly string[]
  /** A token of the service (`sis_...`), or what makes one whenever one is to be shown. */
  token?: Token
  /** For how long a service that is not there is tried again, seconds. Default 120. */
  patience?: number
}

/** All of a client, out of its parts. @throws InferenceError when `url` is no address */
export function createClient({ url, token, patience = PATIENCE_SECONDS }: InferenceClientOptions) {
  const addresses = readAddresses(url, CLIENT_PATH)
  const rest = createRest(addresses, token)
  const patienceMs = patience * 1000
  const over = createRestFollow(rest, patienceMs)
  const closed = new AbortController()
  /** Until when asks go over REST, on the clock of performance.now. */
  let blockedUntil = addresses.some(({ session }) => session === null) ? Infinity : 0
  const line: Line = createLine({
    url: rest.session,
    token,
    patience: patienceMs,
    submit: over.submit,
    onReady: rest.answered,
    leadsAway: rest.leadsAway,
    isThere: () => rest.isThere(closed.signal),
    onBlocked(asks) {
      blockedUntil = performance.now() + BLOCKED_MS
      for (const ask of asks) over.add(ask)
    },
  })
  const { signal } = closed
  const order = async (path: string): Promise<void> =>
    void rest.parse(saidView, await rest.call(path, { method: 'POST', signal }))

  return {
    ...createTasks({
      add(ask: Ask) {
        if (signal.aborted) ask.onError(wasClosed(ask.taskId))
        else if (performance.now() < blockedUntil) over.add(ask)
        else line.add(ask)
      },
      giveUp(ask, cancel) {
        line.giveUp(ask, cancel)
        over.giveUp(ask, cancel)
      },
    }),
    get: (taskId: string): Promise<TaskDetail> => rest.get(pathOf(taskId), taskDetailView, signal),
    async *list(filter: TaskFilter): AsyncGenerator<TaskLine, void, undefined> {
      const wanted = Object.entries(filter).filter((one): one is [string, string] => typeof one[1] === 'string')
      for (let cursor: string | null = ''; cursor !== null;) {
        const query = new URLSearchParams(wanted)
        if (cursor !== '') query.set('cursor', cursor)
        // A page may be short, even empty, and not be the last.
        const page: { tasks: TaskLine[]; next_cursor: string | null } = await rest.get(
          `/api/v1/tasks?${query.toString()}`,
          tasksPage,
          signal,
        )
        yield* page.tasks
        cursor = page.next_cursor
      }
    },
    cancel: (taskId: string): Promise<void> => order(`${pathOf(taskId)}/cancel`),
    retry: (taskId: string): Promise<void> => order(`${pathOf(taskId)}/retry`),
    stats: (): Promise<Stats> => rest.get('/api/v1/stats', statsView, signal),
    async nodes(): Promise<NodeEntry[]> {
      const found = await rest.get('/api/v1/nodes', nodesView, signal)
      return Array.isArray(found) ? found : found.nodes
    },
    models: async (): Promise<Model[]> => (await rest.get('/v1/models', modelList, signal)).data,
    async close(): Promise<void> {
      if (signal.aborted) return
      closed.abort(wasClosed(null))
      await Promise.all([line.close(CLOSE_GRACE_MS), over.close(CLOSE_GRACE_MS)])
    },
  }
}
