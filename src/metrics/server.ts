import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from '../lib/log.js'

const PATH = '/metrics'
const REQUEST_TIMEOUT_MS = 10_000
/** A scraper needs one or two. */
const MAX_CONNECTIONS = 32

export interface MetricsServerParts {
  host: string
  /** 0: a free one. */
  port: number
  type: string
  /** Null: nothing can be told now. */
  text(): Promise<string | null>
  log: Pick<Logger, 'error'>
}

export type MetricsServer = ReturnType<typeof createMetricsServer>

/** A server that tells the metrics and nothing else, to whoever reaches it. Scrapes at the same time are answered with one text. */
export function createMetricsServer({ host, port, type, text, log }: MetricsServerParts) {
  let running: Promise<string | null> | null = null
  const scrape = (): Promise<string | null> => {
    running ??= text().finally(() => {
      running = null
    })
    return running
  }
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    request.resume()
    const end = (status: number, body: string, contentType = 'text/plain; charset=utf-8'): void => {
      response.writeHead(status, {
        'Content-Type': contentType,
        'Content-Length': Buffer.byteLength(body),
        'X-Content-Type-Options': 'nosniff',
        'Cache-Control': 'no-store',
      })
      response.end(request.method === 'HEAD' ? undefined : body)
    }
    if (request.url?.replace(/\?.*$/, '') !== PATH) return end(404, `there is only ${PATH} here\n`)
    if (request.method !== 'GET' && request.method !== 'HEAD') return end(405, 'use GET\n')
    const body = await scrape()
    if (body === null) return end(503, 'nothing can be told now; try again later\n')
    end(200, body, type)
  }
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      answer(request, response).catch((error: unknown) => {
        log.error({ event: 'metrics.failed', err: error }, 'the metrics cannot be told')
        response.destroy()
      })
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.setTimeout(REQUEST_TIMEOUT_MS)

  return {
    /** @returns its address; rejects with a sentence */
    start: () =>
      new Promise<string>((resolve, reject) => {
        server.once('error', (error) =>
          reject(new Error(`the metrics cannot be told at ${host}:${port}: ${error.message}; choose another port`)),
        )
        server.listen(port, host, () => {
          server.removeAllListeners('error')
          server.on('error', (error) =>
            log.error({ event: 'metrics.failed', err: error }, 'the server of the metrics failed'),
          )
          const name = host.includes(':') ? `[${host}]` : host
          resolve(`http://${name}:${(server.address() as AddressInfo).port}${PATH}`)
        })
      }),
    async stop(): Promise<void> {
      if (!server.listening) return
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
