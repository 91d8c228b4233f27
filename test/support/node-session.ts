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
  { protocols = ['inference-node.v1'], headers = {} }: { protocols?: string[]; headers?: Record<string, string> } = {},
): Promise<TestNode> {
  const session = await openSocket<ServerMessage>(`ws://${service.host}/api/v1/nodes/connect`, protocols, { headers })
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

/** A node in session, welcomed. `more` goes into its hello. */
export async function connectNode(
  service: Pick<Service, 'host'>,
  nodeId: string,
  more: Record<string, unknown> = {},
): Promise<TestNode & { welcome: Extract<ServerMessage, { type: 'session.welcome' }> }> {
  const node = await dial(service)
  const { nonce } = await node.next('session.challenge')
  node.say(hello(service, nodeId, nonce, more))
  const welcome = await node.next('session.welcome')
  return Object.assign(node, { id: nodeId, welcome })
}
