import { createParser, type EventSourceMessage } from 'eventsource-parser'
import * as v from 'valibot'
import { readAddresses } from '../../client/address.js'
import { InferenceError } from '../../client/errors.js'
import { createRest, retryAfterOf } from '../../client/rest.js'
import { jitteredWait, type Backoff } from '../../lib/backoff.js'
import { pause } from '../../lib/timer.js'

/** An event of the feed; a newer service may send some that this version does not know. */
export interface FeedMessage {
  event: string
  /** Of the service's run and the event's place in it; null: it has none. */
  id: string | null
  data: unknown
}

export interface FeedParts {
  /** The addresses of services that stand for each other: they are asked in turn. */
  urls: readonly string[]
  /** Shown with each call; null where there is none. */
  token: string | null
  /** As `feedQuery` has it. */
  query: Readonly<Record<string, string>>
  /** The service tells what happens, from now on or from where it was. */
  onOpen(): void
  onEvent(message: FeedMessage): void
  /** @param wait ms until it is tried again */
  onLost(why: string, wait: number): void
  /** Ends it, and every wait. */
  halted: AbortSignal
}

/** Who looks at a terminal is not to wait for long once the service is back. */
const BACKOFF: Backoff = { first: 500, most: 5000 }
/** A service that stops may ask for more, ms. */
const MAX_RETRY_AFTER_MS = 60_000
/** The service says something every 15 s: a feed that has been silent for longer than this is not there any more, ms. */
const SILENCE_MS = 45_000
/** An event of 200 models is about 40 kB. */
const MAX_EVENT_CHARACTERS = 4 * 1024 * 1024
/** A feed that lasted for so long was a good one: the next try comes soon, ms. */
const LASTED_MS = 5000

/** What would be answered the same again. */
const FINAL: ReadonlySet<string> = new Set([
  'invalid_request',
  'unauthorized',
  'forbidden',
  'forbidden_origin',
  'wrong_host',
  'not_found',
  'method_not_allowed',
])

const json = v.pipe(v.string(), v.parseJson())

/**
 * Follows the live feed until it is halted. It comes back by itself when it was cut off, and goes on where it was.
 * @returns why it may not be followed; null when it was halted
 */
export async function followFeed({
  urls,
  token,
  query,
  onOpen,
  onEvent,
  onLost,
  halted,
}: FeedParts): Promise<string | null> {
  const rest = createRest(readAddresses(urls, ''), token ?? undefined)
  const path = `/api/v1/events?${new URLSearchParams(query).toString()}`
  let lastId: string | null = null
  let failures = 0

  const take = ({ event = 'message', id = lastId ?? undefined, data }: EventSourceMessage): void => {
    const parsed = v.safeParse(json, data)
    if (!parsed.success) return // not an event of this service, nor of a newer one
    lastId = id ?? null
    onEvent({ event, id: lastId, data: parsed.output })
  }

  /** When the service has begun to tell; null: it has not. */
  let openedAt: number | null = null
  /** One answer, until it ends. */
  const readOnce = async (): Promise<void> => {
    const own = new AbortController()
    const end = (): void => own.abort(halted.reason)
    halted.addEventListener('abort', end)
    let silence: ReturnType<typeof setTimeout> | undefined
    const heard = (): void => {
      clearTimeout(silence)
      silence = setTimeout(() => own.abort(new InferenceError('unreachable', 'the feed is silent')), SILENCE_MS)
    }
    try {
      const headers = { accept: 'text/event-stream', ...(lastId === null ? {} : { 'last-event-id': lastId }) }
      const body = await rest.open(path, { headers, signal: own.signal })
      if (body === null) throw new InferenceError('unreachable', 'the feed is empty')
      openedAt = performance.now()
      onOpen()
      heard()
      const decoder = new TextDecoder()
      const parser = createParser({ onEvent: take, maxBufferSize: MAX_EVENT_CHARACTERS })
      for (const reader = body.getReader(); ;) {
        const { value, done } = await reader.read()
        if (done) return
        heard()
        parser.feed(decoder.decode(value, { stream: true }))
      }
    } finally {
      clearTimeout(silence)
      halted.removeEventListener('abort', end)
      own.abort()
    }
  }

  while (!halted.aborted) {
    let why = 'the feed has ended'
    let asked = 0
    openedAt = null
    try {
      await readOnce()
    } catch (error) {
      if (error instanceof InferenceError && FINAL.has(error.code)) return error.message
      // What fetch says of a body that breaks off is no sentence.
      why = error instanceof InferenceError ? error.message : 'the connection was lost'
      asked = Math.min(retryAfterOf(error) ?? 0, MAX_RETRY_AFTER_MS)
    }
    if (halted.aborted) break
    if (openedAt !== null && performance.now() - openedAt > LASTED_MS) failures = 0
    const wait = asked + jitteredWait(BACKOFF, failures++)
    onLost(why, wait)
    await pause(wait, halted)
  }
  return null
}
