import type { IncomingMessage, ServerResponse } from 'node:http'
import { openai, type OpenAiOptions } from '../../src/inference-node/backends/openai.js'
import type { NodeTask } from '../../src/inference-node/index.js'
import { runWork } from '../../src/inference-node/run-work.js'
import type { OutputChannel } from '../../src/wire/node.js'
import { startHttp } from './http-server.js'

/** What a model server was asked. */
export interface Asked {
  url: string
  key: string | undefined
  body: unknown
}
export type AnswerOf = (response: ServerResponse, asked: Asked, request: IncomingMessage) => void

export const plainTask: NodeTask = {
  task_id: 't1',
  attempt: 1,
  model_name: 'llama-3-8b',
  model_type: 'llama',
  own_model: 'llama-3-8b',
  user_input: 'why?',
  context: '',
  max_infer_time: 60,
  infer_fee: 0,
}

/** A server that answers as the test says, and has kept what it was asked. */
export async function startAnswers(answer: AnswerOf) {
  const asked: Asked[] = []
  const { url, port, stop } = await startHttp((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const call = {
        url: request.url ?? '',
        key: request.headers.authorization,
        body: body === '' ? null : (JSON.parse(body) as unknown),
      }
      asked.push(call)
      answer(response, call, request)
    })
  })
  return { asked, url, port, stop }
}

/** A model server that answers as the test says, and the backend `openai` before it. */
export async function modelServer(answer: AnswerOf, options: OpenAiOptions = {}) {
  const server = await startAnswers(answer)
  const backend = openai({ baseUrl: `${server.url}/v1/`, ...options })
  /** The pieces of text that came, and those of what the model thought. */
  const chunks: string[] = []
  const thoughts: string[] = []
  const run = (given: Partial<NodeTask> = {}, signal = new AbortController().signal, maxCharacters = 1_000_000) =>
    runWork({
      work: backend.work,
      task: { ...plainTask, ...given },
      signal,
      maxCharacters,
      onText: (chunk: string, channel: OutputChannel) => (channel === 'text' ? chunks : thoughts).push(chunk),
    })
  return { ...server, backend, run, chunks, thoughts }
}

/** Says these events; the answer stays open. */
export const events = (response: ServerResponse, ...data: unknown[]): void => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const d of data) response.write(`data: ${typeof d === 'string' ? d : JSON.stringify(d)}\n\n`)
}
/** Says these events and that they are all. */
export const wholeStream = (response: ServerResponse, ...data: unknown[]): void => {
  events(response, ...data, '[DONE]')
  response.end()
}
export const delta = (content: string, finish_reason: string | null = null) => deltaOf({ content }, finish_reason)
export const deltaOf = (delta: object, finish_reason: string | null = null) => ({
  id: 'x',
  choices: [{ index: 0, delta, finish_reason }],
})
export const json = (response: ServerResponse, status: number, body: unknown): void =>
  void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
