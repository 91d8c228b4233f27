import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { MAX_BODY, type Answer } from './rpc-routes.js'

export type Route = (method: string, path: string, type: string, body: Buffer) => Answer | Promise<Answer>

/** How long a port that the node had before is waited for, and how often it is tried, ms. */
const PORT_PATIENCE_MS = 10_000
const PORT_RETRY_MS = 50

export type ChainServer = Awaited<ReturnType<typeof startChainServer>>

/** The HTTP of the node, which can be deaf, and can be down and come up again at the same address. */
export async function startChainServer(route: Route, host: string, wanted: number) {
  let isDeaf = false
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request)
    if (isDeaf) return
    const path = (request.url ?? '').split('?')[0] ?? ''
    const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
    const {
      status,
      body: said,
      headers,
    } = body === null ? TOO_LARGE : await route(request.method ?? '', path, type, body)
    const [kind, text] =
      typeof said === 'string' && status !== 200 ? ['text/plain', said] : [JSON_TYPE, JSON.stringify(said)]
    response.writeHead(status, { ...headers, 'content-type': kind }).end(text)
  }
  const server = createServer((request, response) => {
    // A caller that breaks off gets no answer; the node goes on.
    answer(request, response).catch(() => response.destroy())
  })
  const listen = async (port: number): Promise<number> => {
    const listening = once(server, 'listening')
    server.listen(port, host)
    await listening
    return (server.address() as AddressInfo).port
  }
  const stop = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  const port = await listen(wanted)
  return {
    url: `http://${host}:${port}`,
    /** Takes requests, and answers none; those that are open then are never answered. */
    setDeaf: (deaf: boolean): void => void (isDeaf = deaf),
    /** Refuses connections from now on, and ends those that are open. */
    stop,
    /** Listens again where it did. Another program may have the port for a moment. */
    async start(): Promise<void> {
      for (const end = Date.now() + PORT_PATIENCE_MS; !server.listening; await sleep(PORT_RETRY_MS)) {
        try {
          await listen(port)
          return
        } catch (error) {
          if (Date.now() > end) throw error
        }
      }
    },
    /** Ends all connections. */
    disconnect: (): void => server.closeAllConnections(),
  }
}

const JSON_TYPE = 'application/json'
const TOO_LARGE: Answer = { status: 413, body: 'Too large' }

/** null where it is larger than a node reads. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= MAX_BODY) chunks.push(chunk)
    else chunks.length = 0
  }
  return size <= MAX_BODY ? Buffer.concat(chunks) : null
}
