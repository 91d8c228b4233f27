import { createHash, createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { createCoordinator, inferenceDefaults, type Coordinator, type ServiceConfig } from '../../src/coordinator.js'
import { systemTime, type TimeSource } from '../../src/lib/clock.js'
import { silentLog } from '../../src/lib/log.js'
import { helloText } from '../../src/wire/keys.js'
import type { ServerMessage } from '../../src/wire/node.js'

/** How long a test waits for something that must come, ms. Generous: the machine is shared. */
export const PATIENCE = 15_000

/** A folder that is gone when the test has ended. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'inference-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Waits until `check` gives something other than undefined, null or false. */
export async function until<T>(check: () => T | Promise<T>, what = 'the condition'): Promise<NonNullable<T>> {
  const end = Date.now() + PATIENCE
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== null && value !== false) return value
    if (Date.now() > end) throw new Error(`${what} did not come within ${PATIENCE} ms`)
    await sleep(5)
  }
}

export interface Answer {
  status: number
  headers: Headers
  /** The whole envelope; null when there was no body. */
  body: { success: boolean; data: any; error: string | null; code?: string } | null // eslint-disable-line @typescript-eslint/no-explicit-any -- tests read any field
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
  status(taskId: string): Promise<any> // eslint-disable-line @typescript-eslint/no-explicit-any -- tests read any field
  /** Waits until the task has this status. */
  reaches(taskId: string, status: string): Promise<any> // eslint-disable-line @typescript-eslint/no-explicit-any -- tests read any field
  register(nodeId: string, more?: Record<string, unknown>): Promise<Answer>
  poll(nodeId: string, running?: string[]): Promise<any> // eslint-disable-line @typescript-eslint/no-explicit-any -- tests read any field
  stop(): Promise<void>
  coordinator: Coordinator
}

/** Settings that make clocks tick fast enough for a test, and no faster than a busy machine follows. */
export const quick = {
  heartbeat_interval: 5,
  accept_timeout: 5,
  reconnect_grace: 5,
  restart_grace: 5,
  shutdown_timeout: 2,
}

/** A real coordinator on a real file and a free port of loopback; stopped when the test has ended. */
export async function startService(
  settings: Partial<ServiceConfig['inference']> = {},
  time: TimeSource = systemTime,
): Promise<Service> {
  const database_path = settings.database_path ?? join(tempDir(), 'inference.db')
  const coordinator = createCoordinator({
    settings: inferenceDefaults({ ...quick, ...settings, database_path, api_port: 0 }),
    log: silentLog(),
    time,
  })
  const { url, port } = await coordinator.listen()
  onTestFinished(() => coordinator.stop())
  return {
    ...serviceAt(url),
    host: `127.0.0.1:${port}`,
    file: database_path,
    coordinator,
    stop: () => coordinator.stop(),
  }
}

/** The client side of a service, also one in another process. */
export function serviceAt(url: string): Omit<Service, 'file' | 'coordinator' | 'stop'> {
  const send: Service['send'] = async (method, path, body = null, headers = {}) => {
    const response = await fetch(url + path, { method, body, headers })
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? null : (JSON.parse(text) as Answer['body']),
    }
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

export interface Identity {
  key: KeyObject
  publicKey: string
}

/** A secp256k1 key pair; the same for the same name. */
export function identity(name: string = crypto.randomUUID()): Identity {
  const d = createHash('sha256').update(name).digest()
  // An EC private key in PKCS#8 around the 32 bytes, for the curve secp256k1.
  const der = Buffer.concat([Buffer.from('303e020100301006072a8648ce3d020106052b8104000a042730250201010420', 'hex'), d])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  const odd = (Buffer.from(y, 'base64url')[31] ?? 0) & 1
  return { key, publicKey: Buffer.concat([Buffer.from([odd ? 3 : 2]), Buffer.from(x, 'base64url')]).toString('hex') }
}

/** Another curve's key, to be refused. */
export const foreignKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

export const signText = (key: KeyObject, text: string): string =>
  sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('hex')

type Of<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>

/** One raw session of a node: says what the test says, and remembers what comes. */
export interface TestNode {
  socket: WebSocket
  id: string
  /** Everything that has come and was not taken by `next`, in order. */
  inbox: ServerMessage[]
  /** Every frame as it came. */
  frames: string[]
  say(message: unknown): void
  /** The next message of this type; others stay in the inbox. */
  next<T extends ServerMessage['type']>(type: T, where?: (m: Of<T>) => boolean): Promise<Of<T>>
  closed: Promise<{ code: number; reason: string }>
  close(code?: number): void
  accept(a: { task_id: string; attempt: number }): void
  complete(a: { task_id: string; attempt: number }, output?: string): void
  beat(status?: string): Promise<void>
}

/** Opens a socket to the sessions of a service and says nothing. */
export async function dial(
  service: Pick<Service, 'host'>,
  { protocols = ['inference-node.v1'], headers = {} }: { protocols?: string[]; headers?: Record<string, string> } = {},
): Promise<TestNode> {
  const socket = new WebSocket(`ws://${service.host}/api/v1/nodes/connect`, protocols, {
    perMessageDeflate: false,
    headers,
  })
  const inbox: ServerMessage[] = []
  const frames: string[] = []
  socket.on('message', (data: Buffer) => {
    frames.push(data.toString())
    const value = JSON.parse(data.toString()) as ServerMessage | ServerMessage[]
    inbox.push(...(Array.isArray(value) ? value : [value]))
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })),
  )
  socket.on('error', () => undefined) // 'close' says the rest
  onTestFinished(() => socket.terminate())
  const say = (message: unknown): void => socket.send(JSON.stringify(message))
  const next: TestNode['next'] = (type, where = () => true) =>
    until(() => {
      const at = inbox.findIndex((m) => m.type === type && where(m as never))
      if (at < 0 && socket.readyState === WebSocket.CLOSED)
        throw new Error(`the session ended before ${type} came; got ${JSON.stringify(inbox)}`)
      return at < 0 ? null : (inbox.splice(at, 1)[0] as never)
    }, type)
  const node: TestNode = {
    socket,
    id: '',
    inbox,
    frames,
    say,
    next,
    closed,
    close: (code = 1000) => socket.close(code),
    accept: ({ task_id, attempt }) => say({ type: 'task.accept', task_id, attempt }),
    complete: ({ task_id, attempt }, output = 'Paris') =>
      say({ type: 'task.complete', task_id, attempt, output, confidence: 0.9 }),
    async beat(status) {
      say({ type: 'node.heartbeat', ...(status === undefined ? {} : { status }) })
      await next('node.heartbeat_ack')
    },
  }
  await Promise.race([once(socket, 'open'), closed])
  return node
}

/** What a node of this name says to a challenge. */
export function hello(
  service: Pick<Service, 'host'>,
  nodeId: string,
  nonce: string,
  more: Record<string, unknown> = {},
  who: Identity = identity(nodeId),
) {
  return {
    type: 'session.hello',
    node_id: nodeId,
    public_key: who.publicKey,
    signature: signText(who.key, helloText(nodeId, service.host, nonce)),
    supported_models: ['llama'],
    ...more,
  }
}

/** A node in session, welcomed. `more` goes into its hello. */
export async function connectNode(
  service: Pick<Service, 'host'>,
  nodeId: string,
  more: Record<string, unknown> = {},
): Promise<TestNode & { welcome: Of<'session.welcome'> }> {
  const node = await dial(service)
  const { nonce } = await node.next('session.challenge')
  node.say(hello(service, nodeId, nonce, more))
  const welcome = await node.next('session.welcome')
  return Object.assign(node, { id: nodeId, welcome })
}

/** The file as another program sees it. */
export function inspect<T>(file: string, read: (db: Database) => T): T {
  const db = new Database(file, { readonly: true })
  try {
    return read(db)
  } finally {
    db.close()
  }
}

/** How far a moved clock goes at once, ms: far below the gap from which on a coordinator takes itself for stalled. */
const STEP = 1000

/** A clock that a test moves, one step and one look of the coordinator after the other. */
export function movableTime() {
  let ahead = 0
  const step = async (service: Service): Promise<void> => {
    ahead += STEP
    await service.get('/api/v1/stats')
    await sleep(1)
  }
  return {
    wall: () => Date.now() + ahead,
    monotonic: () => performance.now() + ahead,
    /** While nobody looks: the coordinator is down. */
    skip: (seconds: number) => void (ahead += seconds * 1000),
    async passes(service: Service, seconds: number): Promise<void> {
      for (let left = seconds; left > 0; left -= STEP / 1000) await step(service)
    },
    /** Time passes until this comes. */
    async until<T>(service: Service, coming: Promise<T>): Promise<T> {
      let came = false
      const mark = (): void => void (came = true)
      coming.then(mark, mark)
      while (!came) await step(service)
      return coming
    },
  }
}
