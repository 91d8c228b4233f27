import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { Webhook } from 'standardwebhooks'
import { expectSchema } from './contract.js'
import { startHttp } from './http-server.js'
import { startService, type Service } from './service.js'
import { until } from './wait.js'

export const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

export interface Received {
  path: string
  headers: IncomingHttpHeaders
  text: string
  /** ms */
  at: number
  id: string
}

/** Answers 200, or what it is told to. */
export type Answering = (request: IncomingMessage, response: ServerResponse, received: Received) => void

export interface Body {
  type: string
  timestamp: string
  data: Record<string, unknown>
}

/** Somebody who is told of the ends of tasks: keeps what comes, whatever it answers. */
export async function startReceiver(answering: Answering = (_, response) => response.end('ok'), port = 0) {
  const received: Received[] = []
  let now = answering
  const server = await startHttp((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const one = {
        path: request.url ?? '',
        headers: request.headers,
        text: Buffer.concat(chunks).toString(),
        at: Date.now(),
        id: String(request.headers['webhook-id']),
      }
      received.push(one)
      now(request, response, one)
    })
  }, port)
  return {
    ...server,
    received,
    hook: `${server.url}/hook`,
    answers(next: Answering) {
      now = next
    },
    /** The n-th that came, from 1. */
    nth: (n: number): Promise<Received> => until(() => received[n - 1], `callback number ${n}`),
  }
}

export const status =
  (code: number, headers: Record<string, string> = {}): Answering =>
  (_, response) =>
    response.writeHead(code, headers).end()

/** The body of one, once the package of Standard Webhooks has verified its signature. */
export function verified({ text, headers }: Received, secret = SECRET): Body {
  const said = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
  const body = new Webhook(secret).verify(text, said)
  expectSchema('CallbackMessage', body)
  return body as Body
}

/** A service that sends callbacks, also to this machine. */
export const startCalling = (
  settings: Parameters<typeof startService>[0] = {},
  callbacks: Partial<{ secret: string; allow_private: boolean }> = {},
  time?: Parameters<typeof startService>[1],
): Promise<Service> =>
  startService(settings, time, { callbacks: { secret: SECRET, allow_private: true, ...callbacks } })

/** The task is given to a node that polls, which answers. */
export async function completes(service: Pick<Service, 'register' | 'poll' | 'post'>, output = 'Paris') {
  await service.register('node-1')
  const task = await until(() => service.poll('node-1'), 'a task for the node')
  const { task_id } = task as { task_id: string }
  const answer = await service.post('/api/v1/tasks/complete', {
    task_id,
    output,
    confidence: 1,
    inference_node_id: 'node-1',
  })
  if (answer.status !== 200) throw new Error(`complete: ${answer.status} ${answer.body?.error}`)
  return task_id
}

/** Waits until the callback of a task is in this state. */
export const callbackIs = (service: Pick<Service, 'status'>, taskId: string, state: string) =>
  until(async () => {
    const { callback } = (await service.status(taskId)) as { callback?: Record<string, unknown> }
    return callback?.['state'] === state ? callback : null
  }, `the callback of ${taskId} being ${state}`)
