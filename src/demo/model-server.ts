import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'

const parts = v.array(v.object({ text: v.optional(v.string(), '') }))
const message = v.object({ role: v.string(), content: v.nullish(v.union([v.string(), parts]), '') })
const chat = v.object({ model: v.string(), messages: v.array(message) })
const textOf = ({ content }: v.InferOutput<typeof message>): string =>
  typeof content === 'string' ? content : content.map(({ text }) => text).join(' ')
/** How long the model "thinks" about each word, ms. */
const WORD_MS = 50
/** A prompt that holds this is never answered. */
export const HANG = 'Count to infinity'

export interface ModelServer {
  url: string
  close(): void
}

/** A model server on loopback that speaks the OpenAI API, and streams. It knows little: it answers with the question. */
export async function startModelServer(models: string[]): Promise<ModelServer> {
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      if (request.url === '/v1/models') {
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify({ object: 'list', data: models.map((id) => ({ id, object: 'model' })) }))
        return
      }
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const { model, messages } = v.parse(chat, JSON.parse(Buffer.concat(chunks).toString()))
      const last = messages.at(-1)
      const question = last === undefined ? '' : textOf(last)
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const say = (delta: object, finish_reason: string | null): void =>
        void response.write(
          `data: ${JSON.stringify({ id: 'demo', object: 'chat.completion.chunk', model, choices: [{ index: 0, delta, finish_reason }] })}\n\n`,
        )
      say({ role: 'assistant' }, null)
      if (question.includes(HANG)) return // the reader gives up
      for (const word of `You asked: ${question} ${model} says: 42.`.split(/(?<= )/)) {
        await sleep(WORD_MS)
        say({ content: word }, null)
      }
      say({}, 'stop')
      response.end('data: [DONE]\n\n')
    }
    // A reader that went away, or a body that is no chat: the connection ends, the server goes on.
    answer().catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
