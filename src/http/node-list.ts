import type { NodeFilter } from '../core/watching/reports.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import { writeMs } from '../lib/time-shares.js'
import { redact } from '../rules/ownership.js'
import { envelopeText } from '../wire/envelope.js'
import { okText, respond, type RouteContext } from './answers.js'
import type { Exchange } from './exchange.js'
import type { ReadGate } from './read-gate.js'
import type { Ask } from './routes.js'
import { createUnsent } from './unsent.js'
import { nodeEntry } from './views.js'

/** A list of up to so many nodes is one answer that says how long it is; a longer one is sent in slices. */
const WHOLE_NODES = 500
/** Nodes of the first slice: how long an entry is, is not known yet. About 400 bytes, and 17 KB at most. */
const FIRST_SLICE = 50
/** Of each that follows, at most: to make one takes about a millisecond, and others have their turns between two. */
const SLICE_NODES = 100
const SLICE_UNITS = 128 * 1024

const GONE = refuse('unavailable', 'the connection has ended')

/** Some nodes as JSON, with commas between. */
interface Slice {
  json: string
  count: number
  /** After which the next come; null when none do. */
  next: string | null
}
const sizeAfter = ({ json, count }: Slice): number =>
  Math.max(1, Math.min(SLICE_NODES, Math.floor((SLICE_UNITS / (json.length + 1)) * count)))

/** The list of nodes, a slice in a turn of the event loop: however many there are, no slice holds up what else is served. */
export function createNodeList(ask: Ask, gate: ReadGate) {
  const slice = async (
    exchange: Exchange,
    after: string | null,
    limit: number,
    filter: NodeFilter | null,
  ): Promise<Outcome<Slice>> => {
    await gate.enter()
    let json = ''
    try {
      // Who has gone while this waited is not read for.
      if (exchange.request.socket.destroyed) return GONE
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

  /** Up to `limit` nodes, of as many slices as that takes. */
  const collect = async (
    exchange: Exchange,
    after: string | null,
    limit: number,
    filter: NodeFilter | null = null,
  ): Promise<Outcome<Slice>> => {
    const parts: string[] = []
    let count = 0
    let next = after
    for (let size = FIRST_SLICE; ;) {
      const found = await slice(exchange, next, Math.min(size, limit - count), filter)
      if (!found.ok) return found
      if (found.value.count > 0) parts.push(found.value.json)
      count += found.value.count
      next = found.value.next
      if (next === null || count >= limit) return done({ json: parts.join(','), count, next })
      size = sizeAfter(found.value)
    }
  }

  async function* texts(exchange: Exchange, first: Slice): AsyncGenerator<string, undefined> {
    const [begin = '', end = ''] = envelopeText('[]').split('[]')
    yield `${begin}[${first.json}`
    for (let last = first; last.next !== null;) {
      const more = await slice(exchange, last.next, sizeAfter(last), null)
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
      const found = await collect(exchange, after, limit, filter)
      if (!found.ok) return found
      const { json, next } = found.value
      return done(`{"nodes":[${json}],"next_cursor":${JSON.stringify(next)}}`)
    },
    /** All of it. */
    async all(c: RouteContext): Promise<Outcome<Response>> {
      const first = await collect(c.env, null, WHOLE_NODES)
      if (!first.ok) return first
      return done(first.value.next === null ? okText(c, `[${first.value.json}]`) : stream(c, first.value))
    },
  }
}
