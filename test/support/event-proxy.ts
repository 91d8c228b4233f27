import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** What becomes of an event on its way; null: it is answered as taken, and lost. */
export type Change = (path: string, body: string) => string | null

/** An address for the events of a chain, between it and an observer; closed after the test. */
export async function startEventProxy() {
  let change: Change = (_path, body) => body
  let observer: string | null = null
  const server = createServer((request, response) => {
    const forward = async (): Promise<number> => {
      const pieces: Buffer[] = []
      for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece)
      const path = request.url ?? ''
      const body = change(path, Buffer.concat(pieces).toString())
      if (body === null || observer === null) return 200
      const answer = await fetch(observer + path, { method: 'POST', body })
      await answer.text()
      return answer.status
    }
    forward().then(
      (status) => response.writeHead(status).end(),
      () => response.destroy(), // the chain tells it again
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Where events go; null: they are lost. */
    leadTo: (url: string | null): void => void (observer = url),
    change: (how: Change): void => void (change = how),
  }
}
