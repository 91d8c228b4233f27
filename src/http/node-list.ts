import type { NodeFilter } from '../core/watching/reports.js'
import { done, type Outcome } from '../lib/result.js'
import { writeMs } from '../lib/time-shares.js'
import { redact } from '../rules/ownership.js'
import { envelopeText } from '../wire/envelope.js'
import { okText, respond, type RouteContext } from './answers.js'
import type { Exchange } from './exchange.js'
import type { ReadGate } from './read-gate.js'
import type { Ask } from './routes.js'
import { createUnsent } from './unsent.js'
import { nodeEntry } from './views.js'

/** Nodes of the first slice: an entry is about 400 bytes, and 17 KB at most. */
const FIRST_SLICE = 500
/** Of each that follows; about, in bytes and in nodes: to find where it begins costs as much as 1,000 entries. */
const SLICE_BYTES = 1024 * 1024
const SLICE_NODES = 2000

/** Some nodes as JSON, with commas between. */
interface Slice {
  json: string
  count: number
  /** After which the next come; null when none do. */
  next: string | null
}
const sizeAfter = ({ json, count }: Slice): number =>
  Math.max(1, Math.min(SLICE_NODES, Math.floor((SLICE_BYTES / (json.length + 1)) * count)))

/** The list of nodes, a slice at a time: however many there are, no slice holds up what else is served. */
export function createNodeList(ask: Ask, gate: ReadGate) {
  const slice = async (
    exchange: Exchange,
    after: string | null,
    limit: number,
    filter: NodeFilter | null = null,
  ): Promise<Outcome<Slice>> => {
    await gate.enter()
    let json = ''
    try {
      const found = await ask(
        exchange,
        filter === null ? { op: 'nodes', after, limit } : { op: 'nodePage', after, limit, filter },
      )
      if (!found.ok) return found
      const { nodes, hidden } = found.value
      json = nodes.map((node) => JSON.stringify(redact(nodeEntry(node), hidden))).join(',')
      return done({ json, count: found.value.nodes.length, next: found.value.next })
    } finally {
      gate.leave(json.length)
    }
  }

  async function* texts(exchange: Exchange, first: Slice): AsyncGenerator<string, undefined> {
    const [begin = '', end = ''] = envelopeText('[]').split('[]')
    yield `${begin}[${first.json}`
    for (let last = first; last.next !== null;) {
      const more = await slice(exchange, last.next, sizeAfter(last))
      if (!more.ok) throw new Error(more.message)
      last = more.value
      if (last.count > 0) yield `,${last.json}`
    }
    yield `]${end}`
    return undefined
  }
  /** Sends slices at the speed of their reader: a hundred thousand nodes take no more memory than a thousand. */
  const stream = (c: RouteContext, first: Slice): Response => {
    const unsent = createUnsent(c.env)
    const rest = texts(c.env, first)
    return respond(
      c,
      new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            try {
              const part = await rest.next()
              if (part.done === true) return controller.close()
              const bytes = Buffer.from(part.value)
              c.env.limits.time.charge(c.env.keys, writeMs(bytes.length))
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
    async page(exchange: Exchange, after: string | null, limit: number, filter: NodeFilter): Promise<Outcome<string>> {
      const found = await slice(exchange, after, limit, filter)
      if (!found.ok) return found
      const { json, next } = found.value
      return done(`{"nodes":[${json}],"next_cursor":${JSON.stringify(next)}}`)
    },
    /** All of it. */
    async all(c: RouteContext): Promise<Outcome<Response>> {
      const first = await slice(c.env, null, FIRST_SLICE)
      if (!first.ok) return first
      return done(first.value.next === null ? okText(c, `[${first.value.json}]`) : stream(c, first.value))
    },
  }
}
