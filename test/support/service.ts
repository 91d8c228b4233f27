import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import {
  createCoordinator,
  inferenceDefaults,
  type Coordinator,
  type CoordinatorParts,
  type ServiceConfig,
} from '../../src/coordinator.js'
import { systemTime, type TimeSource } from '../../src/lib/clock.js'
import { silentLog } from '../../src/lib/log.js'
import { expectDocumented, expectDocumentedBody } from './contract.js'
import { tempDir } from './temp-dir.js'
import { until } from './wait.js'
import { Database } from '../../src/store/sqlite.js'

export interface Answer {
  status: number
  headers: Headers
  /** The whole envelope; null when there was no body, or a page. */
  body: { success: boolean; data: any; error: string | null; code?: string } | null // oxlint-disable-line typescript/no-explicit-any -- tests read any field
}

export interface Service {
  url: string
  host: string
  file: string
  get(path: string): Promise<Answer>
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>
  /** A raw body, as it is. */
  send(
    method: string,
    path: string,
    body?: string | Uint8Array | null,
    headers?: Record<string, string>,
  ): Promise<Answer>
  submit(task?: Record<string, unknown>): Promise<string>
  status(taskId: string): Promise<any> // oxlint-disable-line typescript/no-explicit-any -- tests read any field
  /** Waits until the task has this status. */
  reaches(taskId: string, status: string): Promise<any> // oxlint-disable-line typescript/no-explicit-any -- tests read any field
  register(nodeId: string, more?: Record<string, unknown>): Promise<Answer>
  poll(nodeId: string, running?: string[]): Promise<any> // oxlint-disable-line typescript/no-explicit-any -- tests read any field
  stop(): Promise<void>
  coordinator: Coordinator
  /** Where blocks are announced; null where they are not. */
  observer: string | null
}

/** Under these nothing ends by the clock unless a test lets time pass. */
export const calm = {
  heartbeat_interval: 3600,
  accept_timeout: 3600,
  reconnect_grace: 3600,
  restart_grace: 3600,
  node_timeout: 86_400,
  shutdown_timeout: 1,
}

/** A real coordinator on a real file and a free port of loopback, calm unless told otherwise; stopped when the test has ended. */
export async function startService(
  settings: Partial<ServiceConfig['inference']> = {},
  time: TimeSource = systemTime,
  parts: Partial<Omit<CoordinatorParts, 'settings' | 'time'>> = {},
  api_port = 0,
): Promise<Service> {
  const database_path = settings.database_path ?? join(tempDir(), 'inference.db')
  const coordinator = createCoordinator({
    settings: inferenceDefaults({ ...calm, ...settings, database_path, api_port }),
    log: silentLog(),
    // Tests of public names and proxies need no token.
    insecure: true,
    plainHttp: true,
    ...parts,
    time,
  })
  const { url, port, observer } = await coordinator.listen()
  onTestFinished(() => coordinator.stop())
  return {
    ...serviceAt(url),
    host: `127.0.0.1:${port}`,
    file: database_path,
    coordinator,
    observer: observer === null ? null : `http://${observer.host}:${observer.port}`,
    stop: () => coordinator.stop(),
  }
}

/** Whether an answer is for people, and so not JSON. */
const isPage = ({ headers }: Response): boolean => headers.get('content-type')?.startsWith('text/') === true

/** The client side of a service, also one in another process. */
export function serviceAt(url: string): Omit<Service, 'file' | 'coordinator' | 'observer' | 'stop'> {
  const send: Service['send'] = async (method, path, body = null, headers = {}) => {
    const response = await fetch(url + path, { method, body, headers, redirect: 'manual' })
    const text = await response.text()
    const answer: Answer = {
      status: response.status,
      headers: response.headers,
      body: text === '' || isPage(response) ? null : (JSON.parse(text) as Answer['body']),
    }
    if (method !== 'HEAD') expectDocumented(method, path, answer)
    if (response.ok && body !== null && body.length > 0) expectDocumentedBody(method, path, body)
    return answer
  }
  const get: Service['get'] = (path) => send('GET', path)
  const post: Service['post'] = (path, body, headers) =>
    send('POST', path, JSON.stringify(body), { 'content-type': 'application/json', ...headers })
  const status: Service['status'] = async (taskId) =>
    (await get(`/api/v1/tasks/${encodeURIComponent(taskId)}/status`)).body?.data as unknown
  return {
    url,
    host: new URL(url).host,
    get,
    post,
    send,
    status,
    async submit(more = {}) {
      const answer = await post('/api/v1/tasks/submit', task(more))
      if (answer.status !== 200) throw new Error(`submit: ${answer.status} ${answer.body?.error}`)
      return (answer.body?.data as { task_id: string }).task_id
    },
    reaches: (taskId, wanted) =>
      until(async () => {
        const t = (await status(taskId)) as { status: string }
        return t.status === wanted ? t : null
      }, `${taskId} being ${wanted}`),
    register: (node_id, more = {}) =>
      post('/api/v1/nodes/register', {
        node_id,
        endpoint: 'http://192.0.2.1:5000',
        public_key: '03placeholder',
        supported_models: ['llama'],
        ...more,
      }),
    async poll(nodeId, running) {
      const query = running === undefined ? '' : `?running=${running.map(encodeURIComponent).join(',')}`
      const answer = await get(`/api/v1/nodes/${encodeURIComponent(nodeId)}/tasks${query}`)
      if (answer.status === 204) return null
      if (answer.status !== 200) throw new Error(`poll: ${answer.status} ${answer.body?.error}`)
      return answer.body?.data as unknown
    },
  }
}

/** A submission with everything that is required. */
export const task = (more: Record<string, unknown> = {}) => ({
  user_address: 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM',
  user_input: 'What is the capital of France?',
  context: '',
  infer_fee: 2500,
  max_infer_time: 60,
  model_name: 'llama-3-8b',
  ...more,
})

/** The file as another program sees it. */
export function inspect<T>(file: string, read: (db: Database) => T): T {
  const db = new Database(file, { readonly: true })
  try {
    return read(db)
  } finally {
    db.close()
  }
}

/** Every attempt of a task, as the file has them. */
export const attemptsOf = (service: Service, taskId: string) =>
  inspect(service.file, (db) =>
    db
      .prepare<[string], { attempt: number; node_id: string; end: string | null }>(
        'SELECT attempt, node_id, "end" FROM attempts WHERE task_id = ? ORDER BY attempt',
      )
      .all(taskId),
  )
