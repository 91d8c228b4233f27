import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import type { NodeEvent } from '../../src/inference-node/events.js'
import { InferenceNode, type InferenceNodeOptions } from '../../src/inference-node/index.js'
import { helloText, verifySignature } from '../../src/wire/keys.js'
import {
  NODE_PROTOCOL,
  parseNodeMessage,
  splitFrame,
  type Assignment,
  type Hello,
  type NodeMessage,
  type ServerMessage,
} from '../../src/wire/node.js'

type Disposer = () => unknown
const disposers: Disposer[] = []
/** Runs after the test, last first. */
export const later = (dispose: Disposer): void => void disposers.push(dispose)
afterEach(async () => {
  for (const dispose of disposers.splice(0).reverse()) await dispose()
})

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'node-test-'))
  later(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Values that come; each is awaited once, by the first one that asks for its like. */
export function createInbox<T>() {
  const unread: T[] = []
  const all: T[] = []
  const asking = new Set<{ fits: (value: T) => boolean; resolve: (value: T) => void }>()
  return {
    all,
    put(value: T): void {
      all.push(value)
      for (const ask of asking) {
        if (!ask.fits(value)) continue
        asking.delete(ask)
        return ask.resolve(value)
      }
      unread.push(value)
    },
    take<U extends T>(fits: (value: T) => value is U): Promise<U> {
      const at = unread.findIndex(fits)
      return new Promise((resolve) => {
        if (at < 0) asking.add({ fits, resolve: (value) => resolve(value as U) })
        else resolve(unread.splice(at, 1)[0] as U)
      })
    },
  }
}

export type FakeSession = Awaited<ReturnType<Awaited<ReturnType<typeof startCoordinator>>['next']>>
type OfType<T, K> = Extract<T, { type: K }>

/** A scripted coordinator: it checks what the node says against the wire's schemas, and says only what the test tells it. */
export async function startCoordinator({ port = 0, challenge = true }: { port?: number; challenge?: boolean } = {}) {
  const server = new WebSocketServer({
    port,
    host: '127.0.0.1',
    handleProtocols: (offered) => (offered.has(NODE_PROTOCOL) ? NODE_PROTOCOL : false),
  })
  await once(server, 'listening')
  const address = server.address() as AddressInfo
  const sessions = createInbox<ReturnType<typeof open>>()

  const open = (socket: WebSocket, host: string) => {
    const nonce = randomBytes(32).toString('hex')
    const inbox = createInbox<NodeMessage>()
    /** How many messages each frame held. */
    const frames: number[] = []
    const frameBytes: number[] = []
    const send = (message: ServerMessage | ServerMessage[]): void => socket.send(JSON.stringify(message))
    const closed = new Promise<number>((resolve) => socket.once('close', resolve))
    socket.on('message', (content: Buffer) => {
      const values = splitFrame(content.toString())
      if (values === null) throw new Error('the node sent no JSON')
      frames.push(values.length)
      frameBytes.push(content.length)
      for (const value of values) {
        const parsed = parseNodeMessage(value)
        if (!parsed.ok) throw new Error(`the node sent ${parsed.problem}: ${JSON.stringify(value).slice(0, 200)}`)
        inbox.put(parsed.message)
      }
    })
    if (challenge) send({ type: 'session.challenge', protocol: 1, nonce, server_time: 1 })
    const expectMessage = <K extends NodeMessage['type']>(type: K): Promise<OfType<NodeMessage, K>> =>
      inbox.take((m): m is OfType<NodeMessage, K> => m.type === type)
    return {
      host,
      socket,
      frames,
      frameBytes,
      closed,
      all: inbox.all,
      send,
      raw: (frame: string | Buffer) => socket.send(frame),
      expect: expectMessage,
      /** Waits for the hello and checks its signature. */
      async hello(): Promise<Hello> {
        const hello = await expectMessage('session.hello')
        expect(verifySignature(hello.public_key, helloText(hello.node_id, host, nonce), hello.signature)).toBe(true)
        return hello
      },
      welcome(given: Partial<OfType<ServerMessage, 'session.welcome'>> = {}): void {
        send({
          type: 'session.welcome',
          session_id: 's',
          heartbeat_interval: 15,
          accept_timeout: 5,
          reconnect_grace: 15,
          max_message_bytes: 4 * 1024 * 1024,
          resumed: [],
          dropped: [],
          ...given,
        })
      },
      assign(given: Partial<Assignment> = {}): void {
        send(assignment(given))
      },
      settle({ task_id, attempt }: { task_id: string; attempt: number }, status = 'completed'): void {
        send({ type: 'task.settled', task_id, attempt, status })
      },
      close: (code: number, reason = '') => socket.close(code, reason),
    }
  }
  server.on('connection', (socket, request) => sessions.put(open(socket, request.headers.host ?? '')))
  const stop = async (): Promise<void> => {
    for (const client of server.clients) client.terminate()
    await new Promise((resolve) => server.close(resolve))
  }
  later(stop)
  const next = () => sessions.take((s): s is ReturnType<typeof open> => s !== undefined)
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    sessions: sessions.all,
    stop,
    /** The next session that was opened. */
    next,
    /** The next session, welcomed. */
    async welcomed(given: Partial<OfType<ServerMessage, 'session.welcome'>> = {}) {
      const session = await next()
      const hello = await session.hello()
      session.welcome(given)
      return { ...session, greeting: hello }
    },
  }
}

export const assignment = (given: Partial<Assignment> = {}): Assignment => ({
  type: 'task.assign',
  task_id: 't1',
  attempt: 1,
  model_name: 'llama-3-8b',
  model_type: 'llama',
  user_input: 'hello there',
  context: '',
  max_infer_time: 60,
  infer_fee: 5,
  lease_expires_at: 1000,
  signed_tx: null,
  stream: false,
  ...given,
})

/** A node that is stopped after the test, with its events. */
export function createNode(options: Partial<InferenceNodeOptions> & { coordinator: string }) {
  const events = createInbox<NodeEvent>()
  const node = new InferenceNode({
    models: ['llama-3-8b'],
    work: (task) => task.user_input,
    random: () => 0,
    onEvent: (event) => events.put(event),
    ...options,
  })
  later(() => node.stop())
  return {
    node,
    events: events.all,
    event: <K extends NodeEvent['type']>(type: K): Promise<OfType<NodeEvent, K>> =>
      events.take((e): e is OfType<NodeEvent, K> => e.type === type),
  }
}

export async function startNode(options: Partial<InferenceNodeOptions> & { coordinator: string }) {
  const parts = createNode(options)
  await parts.node.start()
  return parts
}

/** A node in session with a scripted coordinator. */
export async function connectedNode(
  options: Partial<InferenceNodeOptions> = {},
  welcome: Partial<OfType<ServerMessage, 'session.welcome'>> = {},
) {
  const coordinator = await startCoordinator()
  const parts = await startNode({ coordinator: coordinator.url, ...options })
  const session = await coordinator.welcomed(welcome)
  await parts.event('connected')
  return { coordinator, session, ...parts }
}

/** An HTTP server on a free port. */
export async function startHttp(listener: RequestListener, port = 0) {
  const server = createServer(listener)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const stop = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  later(stop)
  const address = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${address.port}`, port: address.port, stop }
}

/** A promise and what settles it. */
export function gate<T = void>() {
  let open: (value: T) => void = () => undefined
  const passed = new Promise<T>((resolve) => {
    open = resolve
  })
  return { open, passed }
}

/** Resolves when the signal aborts. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) =>
    signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true }),
  )

/** Work that never ends by itself, and says when it began and was stopped. */
export function endlessWork() {
  const began = createInbox<string>()
  const stopped = createInbox<string>()
  const is =
    (name: string) =>
    (value: string): value is string =>
      value === name
  return {
    began: (name: string) => began.take(is(name)),
    stopped: (name: string) => stopped.take(is(name)),
    work: async (task: { task_id: string; attempt: number }, signal: AbortSignal): Promise<string> => {
      began.put(`${task.task_id}/${task.attempt}`)
      await aborted(signal)
      stopped.put(`${task.task_id}/${task.attempt}`)
      throw new Error('stopped')
    },
  }
}
