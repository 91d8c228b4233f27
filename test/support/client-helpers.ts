import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import type { ClientServerMessage } from '../../src/wire/client.js'
import { task, until, type Service } from './helpers.js'

type Of<T extends ClientServerMessage['type']> = Extract<ClientServerMessage, { type: T }>

/** One raw session of a submitter: says what the test says, and remembers what comes. */
export interface TestClient {
  socket: WebSocket
  /** Everything that has come and was not taken by `next`, in order. */
  inbox: ClientServerMessage[]
  frames: string[]
  say(...messages: unknown[]): void
  /** The next message of this type that fits; others stay in the inbox. */
  next<T extends ClientServerMessage['type']>(type: T, where?: Partial<Of<T>>): Promise<Of<T>>
  /** Submits one task. */
  submit(more?: Record<string, unknown>): void
  /** Everything the service has said so far has come when this is over: it answers in order. */
  settle(): Promise<void>
  closed: Promise<{ code: number; reason: string }>
}

export const submission = (more: Record<string, unknown> = {}) => ({
  type: 'task.submit',
  ref: 'c1',
  ...task(),
  ...more,
})

/** A submitter in session. */
export async function connectClient(
  service: Pick<Service, 'host'>,
  protocols: string[] = ['inference-client.v1'],
  options: { autoPong?: boolean } = {},
): Promise<TestClient> {
  const socket = new WebSocket(`ws://${service.host}/api/v1/tasks/connect`, protocols, {
    perMessageDeflate: false,
    ...options,
  })
  const inbox: ClientServerMessage[] = []
  const frames: string[] = []
  socket.on('message', (data: Buffer) => {
    frames.push(data.toString())
    const value = JSON.parse(data.toString()) as ClientServerMessage | ClientServerMessage[]
    inbox.push(...(Array.isArray(value) ? value : [value]))
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })),
  )
  socket.on('error', () => undefined) // 'close' says the rest
  onTestFinished(() => socket.terminate())
  const say: TestClient['say'] = (...messages) =>
    socket.send(JSON.stringify(messages.length === 1 ? messages[0] : messages))
  const next: TestClient['next'] = (type, where = {}) =>
    until(
      () => {
        const at = inbox.findIndex(
          (m) =>
            m.type === type &&
            Object.entries(where).every(([k, v]) => (m as unknown as Record<string, unknown>)[k] === v),
        )
        if (at < 0 && socket.readyState === WebSocket.CLOSED)
          throw new Error(`the session ended before ${type} came; got ${JSON.stringify(inbox)}`)
        return at < 0 ? null : (inbox.splice(at, 1)[0] as never)
      },
      `${type} ${JSON.stringify(where)}`,
    )
  await Promise.race([once(socket, 'open'), closed])
  return {
    socket,
    inbox,
    frames,
    say,
    next,
    submit: (more) => say(submission(more)),
    async settle() {
      const task_id = crypto.randomUUID()
      say({ type: 'task.watch', task_id })
      await next('error', { task_id })
    },
    closed,
  }
}
