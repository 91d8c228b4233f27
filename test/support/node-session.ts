import type { ClientOptions } from 'ws'
import type { ServerMessage } from '../../src/wire/node.js'
import { helloText } from '../../src/wire/keys.js'
import { identity, signText, type Identity } from './identity.js'
import type { Service } from './service.js'
import { openSocket, type TestSocket } from './test-socket.js'

/** A session of a node, message by message. */
export interface TestNode extends TestSocket<ServerMessage> {
  id: string
  accept(a: { task_id: string; attempt: number }): void
  complete(a: { task_id: string; attempt: number }, output?: string): void
  /** What the service has sent so far has come when this is over: it answers in order. */
  beat(status?: string): Promise<void>
}

/** Opens a socket to the sessions of a service and says nothing. */
export async function dial(
  service: Pick<Service, 'host'>,
  { protocols = ['inference-node.v1'], ...options }: { protocols?: string[] } & ClientOptions = {},
): Promise<TestNode> {
  const session = await openSocket<ServerMessage>(`ws://${service.host}/api/v1/nodes/connect`, protocols, options)
  const { say, next } = session
  return {
    ...session,
    id: '',
    accept: ({ task_id, attempt }) => say({ type: 'task.accept', task_id, attempt }),
    complete: ({ task_id, attempt }, output = 'Paris') =>
      say({ type: 'task.complete', task_id, attempt, output, confidence: 0.9 }),
    async beat(status) {
      say({ type: 'node.heartbeat', ...(status === undefined ? {} : { status }) })
      await next('node.heartbeat_ack')
    },
  }
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

/** A node in session, welcomed. `more` goes into its hello, `options` into its socket. */
export async function connectNode(
  service: Pick<Service, 'host'>,
  nodeId: string,
  more: Record<string, unknown> = {},
  options: ClientOptions = {},
): Promise<TestNode & { welcome: Extract<ServerMessage, { type: 'session.welcome' }> }> {
  const node = await dial(service, options)
  const { nonce } = await node.next('session.challenge')
  node.say(hello(service, nodeId, nonce, more))
  const welcome = await node.next('session.welcome')
  return Object.assign(node, { id: nodeId, welcome })
}

/** A socket that has said nothing, and the challenge it was sent. */
export const challenged = async (service: Pick<Service, 'host'>, options?: Parameters<typeof dial>[1]) => {
  const node = await dial(service, options)
  return { node, challenge: await node.next('session.challenge') }
}

/** The next assignment of this task. */
export const nextAssign = (node: TestNode, task_id: string) => node.next('task.assign', { task_id })
/** The next answer that this task is settled. */
export const nextSettled = (node: TestNode, task_id: string) => node.next('task.settled', { task_id })
export const fail = (
  node: TestNode,
  a: { task_id: string; attempt: number },
  retryable = true,
  error = 'out of memory',
) => node.say({ type: 'task.fail', task_id: a.task_id, attempt: a.attempt, error, retryable })
export const reject = (node: TestNode, a: { task_id: string; attempt: number }) =>
  node.say({ type: 'task.reject', task_id: a.task_id, attempt: a.attempt, reason: 'busy with other things' })

/** Gives a node one task and waits until the coordinator knows that it was accepted. */
export const beginTask = async (
  service: Service,
  node: TestNode,
  task_id: string,
  more: Record<string, unknown> = {},
) => {
  await service.submit({ task_id, max_infer_time: 80_000, ...more })
  const a = await nextAssign(node, task_id)
  node.accept(a)
  await node.beat()
  return a
}

/** Says this hello and waits for the end of the session. */
export const refusedHello = async (service: Service, build: (nonce: string) => Record<string, unknown>) => {
  const { node, challenge } = await challenged(service)
  node.say(build(challenge.nonce))
  const { code } = await node.closed
  return {
    code,
    errors: node.inbox.filter((m) => m.type === 'error'),
    welcomed: node.inbox.some((m) => m.type === 'session.welcome'),
  }
}

/** What the node was sent so far has come when this is over. */
export const assignsSoFar = async (node: TestNode): Promise<string[]> => {
  await node.beat()
  return node.inbox.filter((m) => m.type === 'task.assign').map((m) => m.task_id)
}

/** What names an attempt, without the rest of its assignment. */
export const attemptOf = (a: { task_id: string; attempt: number }) => ({ task_id: a.task_id, attempt: a.attempt })

/** A task that was lost by one node and runs at another: the two, with what each was given. */
export async function movedTask(service: Service) {
  const lost = await connectNode(service, 'first')
  await service.submit({ task_id: 'A' })
  const old = await nextAssign(lost, 'A')
  lost.accept(old)
  await lost.beat()
  const second = await connectNode(service, 'second')
  lost.socket.terminate()
  const first = await connectNode(service, 'first') // and does not name it
  const now = await nextAssign(second, 'A')
  second.accept(now)
  await second.beat()
  return { first, old, second, now }
}
