import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { credentials } from './api.js'

export interface Ended {
  /** Of the answer; 0 where none came. */
  status: number
  /** Seconds after which the service may be asked again. */
  retryAfter: number
}

/**
 * Reads server-sent events until they end or are stopped. Not by EventSource, which can show no token: tokens belong neither into
 * addresses nor into cookies.
 * @param silenceMs after so long without anything the connection is no more, whatever the system says
 */
export async function readEvents(
  path: string,
  {
    lastId,
    silenceMs,
    stop,
    onOpen,
    onEvent,
  }: {
    lastId: string | null
    silenceMs: number
    stop: AbortSignal
    onOpen: () => void
    onEvent: (event: EventSourceMessage) => void
  },
): Promise<Ended> {
  const ended = new AbortController()
  const end = (): void => ended.abort()
  stop.addEventListener('abort', end)
  let late = setTimeout(end, silenceMs)
  const parser = createParser({ onEvent })
  let status = 0
  try {
    const response = await fetch(path, {
      headers: { ...credentials(), ...(lastId === null ? {} : { 'Last-Event-ID': lastId }) },
      signal: ended.signal,
    })
    ;({ status } = response)
    if (!response.ok || response.body === null)
      return { status, retryAfter: Number(response.headers.get('Retry-After') ?? '0') || 0 }
    onOpen()
    const decoder = new TextDecoder()
    const reader = response.body.getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      clearTimeout(late)
      late = setTimeout(end, silenceMs)
      parser.feed(decoder.decode(value, { stream: true }))
    }
  } catch {
    // It has ended, or never began: that is what is said.
  } finally {
    clearTimeout(late)
    stop.removeEventListener('abort', end)
    ended.abort()
  }
  return { status, retryAfter: 0 }
}

/** Waits, unless it is stopped. */
export const sleep = (ms: number, stop: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    stop.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
