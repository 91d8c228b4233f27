import type { ClientServerMessage } from '../../src/wire/client-answers.js'
import { task, type Service } from './service.js'
import { openSocket, type TestSocket } from './test-socket.js'

/** A session of a submitter, message by message. */
export interface TestClient extends TestSocket<ClientServerMessage> {
  /** Submits one task. */
  submit(more?: Record<string, unknown>): void
  /** What the service has sent so far has come when this is over: it answers in order. */
  settle(): Promise<void>
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
  {
    protocols = ['inference-client.v1'],
    autoPong = true,
    from,
  }: { protocols?: string[]; autoPong?: boolean; from?: string } = {},
): Promise<TestClient> {
  const url = `ws://${service.host}/api/v1/tasks/connect`
  const session = await openSocket<ClientServerMessage>(url, protocols, {
    autoPong,
    ...(from === undefined ? {} : { localAddress: from }),
  })
  const { say, next } = session
  return {
    ...session,
    submit: (more) => say(submission(more)),
    async settle() {
      const task_id = crypto.randomUUID()
      say({ type: 'task.watch', task_id })
      await next('error', { task_id })
    },
  }
}

/** What the core says of a task that is completed. */
export const resultOf = (task_id: string, output: string) => ({
  type: 'task.result' as const,
  task_id,
  status: 'completed' as const,
  result: { output, confidence: 1, completed_at: 1, inference_node_id: 'n' },
  error: null,
})
