import type { IncomingMessage, ServerResponse } from 'node:http'
import { startHttp } from './http-server.js'

/** What a fake model server does; a test may change it while it runs. */
export interface FakeModels {
  /** What GET /models answers; null: there is no such route. */
  listed: unknown[] | null
  /** The models that answer. */
  served: string[]
  /** Where the API is. */
  root: '' | '/v1'
}

/** A server with OpenAI's API that has some models, in the words of Ollama. Each answers with its name. */
export async function startModels(given: Partial<FakeModels> & { served: string[] }, port = 0) {
  const state: FakeModels = { listed: given.served, root: '/v1', ...given }
  const asked: string[] = []
  const json = (response: ServerResponse, status: number, body: unknown): void =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  const chat = (response: ServerResponse, body: string): void => {
    const { model, max_tokens } = JSON.parse(body) as { model: string; max_tokens?: number }
    asked.push(max_tokens === undefined ? model : `${model}: ${max_tokens}`)
    if (state.served.includes(model))
      return json(response, 200, { choices: [{ message: { role: 'assistant', content: model } }] })
    const message = `model "${model}" not found, try pulling it first`
    json(response, 404, { error: { message, type: 'api_error', param: null, code: null } })
  }
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const { method, url } = request
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      if (method === 'GET' && url === `${state.root}/models` && state.listed !== null)
        return json(response, 200, { object: 'list', data: state.listed.map((id) => ({ id, object: 'model' })) })
      if (method === 'POST' && url === `${state.root}/chat/completions`) return chat(response, body)
      response.writeHead(404).end('404 page not found')
    })
  }
  const { url, port: ownPort, stop } = await startHttp(answer, port)
  return { state, asked, url, port: ownPort, stop }
}
