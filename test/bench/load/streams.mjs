// A model server that streams its clock, or a node before it: one of them in a process of its own.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { serveCalls } from '../lib/children.mjs'
import { now } from '../lib/measure.mjs'

let server
let node

serveCalls({
  /** A prompt says how many pieces its answer has, and the ms between them; each is the time at which it was written and a space. */
  async model() {
    server = createServer(async (request, response) => {
      const parts = []
      for await (const part of request) parts.push(part)
      if (request.method === 'GET') return response.end(JSON.stringify({ data: [{ id: 'llama-3-8b' }] }))
      const [pieces, gap] = JSON.parse(Buffer.concat(parts)).messages.at(-1).content.split(' ').map(Number)
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const say = (choice) => response.write(`data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`)
      const started = now()
      for (let i = 0; i < pieces; i++) {
        const wait = started + i * gap - now()
        if (wait > 0) await sleep(wait)
        say({ delta: { content: `${now().toFixed(3)} ` } })
      }
      say({ delta: {}, finish_reason: 'stop' })
      response.end('data: [DONE]\n\n')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return `http://127.0.0.1:${server.address().port}/v1`
  },

  /** @param o.module the node of the package, as a path */
  async node({ module, coordinator, baseUrl, slots, interval }) {
    const { InferenceNode, backends } = await import(pathToFileURL(module).href)
    const backend = backends.openai({ baseUrl })
    const connected = new Promise((resolve) => {
      node = new InferenceNode({
        coordinator,
        models: ['llama-3-8b'],
        maxConcurrentTasks: slots,
        outputInterval: interval,
        work: backend.work,
        features: backend.features,
        check: backend.check,
        onEvent: ({ type }) => type === 'connected' && resolve(),
      })
    })
    await node.start()
    await connected
  },

  /** CPU seconds of this process so far. */
  cpu() {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  },

  async close() {
    await node?.stop()
    server?.close()
  },
})
