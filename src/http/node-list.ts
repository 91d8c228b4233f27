import type { Scheduler } from '../core/engine/scheduler.js'
import { done, type Outcome } from '../lib/result.js'
import { envelopeText } from '../wire/envelope.js'
import { okText, respond, type RouteContext } from './answers.js'
import type { ReadGate } from './read-gate.js'
import { createUnsent } from './unsent.js'
import { nodeEntry } from './views.js'

/** Nodes that are asked for at once: an entry is about 400 bytes, and 11 KB at most. */
const SLICE = 500

/** Some nodes as JSON, with commas between, and after which of them the next come; null when none do. */
interface Slice {
  json: string
  next: string | null
}

/** The list of nodes, a slice at a time: however many there are, no slice holds up what else is served. */
export function createNodeList(call: Scheduler['call'], gate: ReadGate) {
  const slice = async (after: string | null, limit: number): Promise<Outcome<Slice>> => {
    await gate.enter()
    let json = ''
    try {
      const found = await call({ op: 'nodes', after, limit })
      if (!found.ok) return found
      json = found.value.nodes.map((node) => JSON.stringify(nodeEntry(node))).join(',')
      return done({ json, next: found.value.next })
    } finally {
      gate.leave(json.length)
    }
  }

  async function* texts(first: Slice): AsyncGenerator<string, undefined> {
    const [begin = '', end = ''] = envelopeText('[]').split('[]')
    yield `${begin}[${first.json}`
    for (let { next } = first; next !== null;) {
      const more = await slice(next, SLICE)
      if (!more.ok) throw new Error(more.message)
      if (more.value.json !== '') yield `,${more.value.json}`
      next = more.value.next
    }
    yield `]${end}`
    return undefined
  }
  /** Sends slices at the speed of their reader: a hundred thousand nodes take no more memory than a thousand. */
  const stream = (c: RouteContext, first: Slice): Response => {
    const unsent = createUnsent(c.env)
    const rest = texts(first)
    return respond(
      c,
      new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            try {
              const part = await rest.next()
              if (part.done === true) return controller.close()
              const bytes = Buffer.from(part.value)
              unsent.hold(bytes.length)
              controller.enqueue(bytes)
            } catch {
              // The core refuses now: half an answer must not look like a whole one.
              c.env.request.socket.destroy()
              controller.close()
            }
          },
          cancel: () => void rest.return(undefined),
        },
        { highWaterMark: 0 },
      ),
    )
  }

  return {
    /** A page, as JSON. @param after the cursor of the page before */
    async page(after: string | null, limit: number): Promise<Outcome<string>> {
      const found = await slice(after, limit)
      if (!found.ok) return found
      const { json, next } = found.value
      return done(`{"nodes":[${json}],"next_cursor":${JSON.stringify(next)}}`)
    },
    /** All of it. */
    async all(c: RouteContext): Promise<Outcome<Response>> {
      const first = await slice(null, SLICE)
      if (!first.ok) return first
      return done(first.value.next === null ? okText(c, `[${first.value.json}]`) : stream(c, first.value))
    },
  }
}
