import { createParser } from 'eventsource-parser'
import OpenAI from 'openai'
import { onTestFinished } from 'vitest'
import { openAiDefaults } from '../../src/config.js'
import { systemTime } from '../../src/lib/clock.js'
import { expectDocumentedEvent, expectDocumentedStart } from './contract.js'
import { connectNode, type TestNode } from './node-session.js'
import { startService, type Service } from './service.js'

/** As fetch, but what is not as the document has it fails, in a stream at its event. */
const checkedFetch: typeof fetch = async (input, init) => {
  const response = await fetch(input, init)
  const [method, path] = [init?.method ?? 'GET', new URL(input instanceof Request ? input.url : input).pathname]
  await expectDocumentedStart(method.toUpperCase(), path, response)
  if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) return response
  const decoder = new TextDecoder()
  const parser = createParser({
    onEvent: ({ event, id, data }) =>
      expectDocumentedEvent(method.toUpperCase(), path, {
        event,
        id,
        data: data === '[DONE]' ? data : (JSON.parse(data) as unknown),
      }),
  })
  const checked = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      parser.feed(decoder.decode(chunk, { stream: true }))
      controller.enqueue(chunk)
    },
  })
  return new Response(response.body?.pipeThrough(checked) ?? null, response)
}

/** The official client, with nothing but the address of the service. */
export const clientOf = (
  service: Pick<Service, 'url'>,
  options: Partial<ConstructorParameters<typeof OpenAI>[0]> = {},
): OpenAI =>
  new OpenAI({ baseURL: `${service.url}/v1`, apiKey: 'none', maxRetries: 0, fetch: checkedFetch, ...options })

export const startAsked = (
  openai: Parameters<typeof openAiDefaults>[0] = {},
  settings: Parameters<typeof startService>[0] = {},
) => startService(settings, systemTime, { openai: openAiDefaults(openai) })

export const FEATURES = ['params', 'tools', 'images', 'embeddings']

/** A node that answers every task in pieces; what it has been given is kept. */
export async function answeringNode(
  service: Service,
  id: string,
  answer: (given: Given) => { pieces?: readonly string[]; output?: string } & Record<string, unknown>,
) {
  const node = await connectNode(service, id, {
    supported_models: ['llama-3-8b'],
    features: FEATURES,
    max_concurrent_tasks: 8,
  })
  const given: Given[] = []
  let open = true
  const work = async (): Promise<void> => {
    while (open) {
      const assigned: Given = await node.next('task.assign')
      given.push(assigned)
      const { task_id, attempt } = assigned
      node.say({ type: 'task.accept', task_id, attempt })
      const { pieces = [], output = pieces.join(''), ...more } = answer(assigned)
      pieces.forEach((delta, seq) => node.say({ type: 'task.output', task_id, attempt, seq, delta }))
      node.say({ type: 'task.complete', task_id, attempt, output, confidence: 1, ...more })
    }
  }
  const done = work().catch(() => undefined) // its session has ended
  onTestFinished(async () => {
    open = false
    node.socket.terminate()
    await done
  })
  return { node, given }
}
type Given = Extract<Awaited<ReturnType<TestNode['next']>>, { type: 'task.assign' }>
