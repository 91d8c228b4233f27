import { onTestFinished } from 'vitest'
import {
  InferenceClient,
  type InferenceClientOptions,
  type InferenceError,
  type TextStream,
} from '../../src/client/index.js'
import { connectNode, nextAssign, type TestNode } from './node-session.js'
import { task, type Service } from './service.js'

/** The client library, closed after the test. */
export function clientOf(
  service: Pick<Service, 'url'>,
  options: Partial<InferenceClientOptions> = {},
): InferenceClient {
  const client = new InferenceClient({ url: service.url, ...options })
  onTestFinished(() => client.close())
  return client
}

/** A submission with what is required, as the client takes it. */
export const asked = (more: Record<string, unknown> = {}) => ({ ...task(), max_infer_time: 600, ...more })

/** What a call is rejected with. */
export const rejection = (call: Promise<unknown>): Promise<InferenceError> =>
  call.then(
    (value) => {
      throw new Error(`it was not rejected, but came to ${JSON.stringify(value)}`)
    },
    (error: InferenceError) => error,
  )

/** A node that has accepted the next task, or that of this id. */
export async function atWork(service: Pick<Service, 'host'>, nodeId: string, taskId?: string) {
  const node = await connectNode(service, nodeId)
  return { node, assigned: await accepted(node, taskId) }
}
export async function accepted(node: TestNode, taskId?: string) {
  const assigned = taskId === undefined ? await node.next('task.assign') : await nextAssign(node, taskId)
  node.accept(assigned)
  return assigned
}

/** Says pieces of text, one after the other. */
export function speaker(node: TestNode, { task_id, attempt }: { task_id: string; attempt: number }) {
  let seq = 0
  return (delta: string, channel?: 'reasoning'): void =>
    node.say({
      type: 'task.output',
      task_id,
      attempt,
      seq: seq++,
      delta,
      ...(channel === undefined ? {} : { channel }),
    })
}

/** Reads a stream to its end: its pieces, and what was to be seen of the text at last. */
export async function readAll(stream: TextStream) {
  const pieces: string[] = []
  let text = ''
  let restarted = 0
  for await (const piece of stream) {
    pieces.push(piece)
    if (stream.restarted !== restarted) text = ''
    restarted = stream.restarted
    text += piece
  }
  return { pieces, text, restarted }
}
