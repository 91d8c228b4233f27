import type { Exchange } from './exchange.js'
import { createUnsent } from './unsent.js'

/** How often a stream on which nothing moves says so, so that proxies keep it open, ms. */
const COMMENT_EVERY_MS = 15_000
/** How soon a browser connects again, ms. */
const RETRY_MS = 1000
/** What may wait for one reader, as for a session, in bytes; who reads less is cut off. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024
/** What is less than this is on its way. */
const COUNTED_FROM_BYTES = 64 * 1024

export interface StreamEvent {
  /** Left out: it is a `message`. */
  event?: string
  id?: string | undefined
  /** JSON, or any text on one line. */
  data: string
}

export interface StreamParts {
  /** Beside those of every answer. */
  headers?: Record<string, string>
  /** Whether the reader is asked to come back soon. */
  retry?: boolean
  /** What is said while nothing moves; null: nothing. */
  comment?: (() => string) | null
  /** What may wait for its reader, bytes. */
  maxUnsent?: number
  /** It is about to be cut off: its reader takes too little. */
  onCut?: () => void
}

export type EventStream = ReturnType<typeof openEventStream>

/**
 * An answer as server-sent events, written as they come. Not by `streamSSE`: what it is given waits in memory without a bound. What
 * waits here is counted in the budget of answers, and a reader that takes too little is cut off.
 */
export function openEventStream(exchange: Exchange, parts: StreamParts = {}) {
  const { headers = {}, retry = false, comment = () => '', maxUnsent = MAX_UNSENT_BYTES, onCut } = parts
  const { request, response, limits, keys } = exchange
  const unsent = createUnsent(exchange)
  let ended = false
  let counted = false
  keepOpen(exchange)
  response.writeHead(200, {
    ...exchange.headers,
    'Content-Type': 'text/event-stream; charset=utf-8',
    'X-Accel-Buffering': 'no',
    ...headers,
  })

  const write = (text: string | Uint8Array): void => {
    if (ended || response.destroyed) return
    // Written now, in one piece: Node would do it when everybody has been told, which holds the event loop for all of them.
    request.socket.cork()
    response.write(text)
    request.socket.uncork()
    const waits = response.writableLength
    if (waits < COUNTED_FROM_BYTES && !counted) return
    counted = waits >= COUNTED_FROM_BYTES
    if (counted) unsent.hold(waits)
    else unsent.release()
    if (waits <= maxUnsent && !(counted && limits.unsent.exceeded(keys) !== null)) return
    onCut?.()
    request.socket.destroy()
  }
  const quiet = comment === null ? undefined : setInterval(() => write(`: ${comment()}\n\n`), COMMENT_EVERY_MS).unref()
  const drained = (): void => {
    if (!counted) return
    counted = false
    unsent.release()
  }
  response.on('drain', drained)
  exchange.onEnd(() => {
    ended = true
    clearInterval(quiet)
    response.off('drain', drained)
  })
  if (retry) write(`retry: ${RETRY_MS}\n\n`)
  else response.flushHeaders()

  return {
    send({ event, id, data }: StreamEvent): void {
      quiet?.refresh()
      write(
        `${event === undefined ? '' : `event: ${event}\n`}${id === undefined ? '' : `id: ${id}\n`}data: ${data}\n\n`,
      )
    },
    /** Events that were written before, for many readers. */
    sendAll(text: Uint8Array): void {
      quiet?.refresh()
      write(text)
    },
    comment: (said: string): void => write(`: ${said.replaceAll(/[\r\n]+/g, ' ')}\n\n`),
    end(): void {
      if (ended) return
      clearInterval(quiet)
      response.end()
      ended = true
    },
  }
}

/** Nothing may move on the connection for as long as its answer takes. */
export function keepOpen(exchange: Exchange): void {
  const { socket } = exchange.request
  const before = socket.timeout ?? 0
  socket.setTimeout(0)
  exchange.onEnd(() => void (socket.destroyed || socket.setTimeout(before)))
}
