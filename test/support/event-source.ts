import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { onTestFinished } from 'vitest'
import { expectDocumentedEvent, expectDocumentedStart } from './contract.js'
import type { Service } from './service.js'

/** The events of one answer, as they come. */
export async function openEvents(
  service: Pick<Service, 'url'>,
  path: string,
  headers: Record<string, string> = {},
  init: RequestInit = {},
) {
  const cut = new AbortController()
  onTestFinished(() => cut.abort())
  const answer = await fetch(`${service.url}${path}`, { ...init, headers, signal: cut.signal })
  await expectDocumentedStart(init.method ?? 'GET', path, answer)
  const events: EventSourceMessage[] = []
  const comments: string[] = []
  const waiting: (() => void)[] = []
  let isOver = false
  let read = 0
  /** The first event that is not as the document has it. */
  let wrong: Error | null = null
  const wake = (): void => {
    for (const w of waiting.splice(0)) w()
  }
  const parser = createParser({
    onEvent(event) {
      events.push(event)
      try {
        expectDocumentedEvent(init.method ?? 'GET', path, { ...event, data: dataOf(event) })
      } catch (error) {
        wrong ??= error as Error
      }
    },
    onComment: (text) => void comments.push(text),
  })
  const reader = async (): Promise<void> => {
    const decoder = new TextDecoder()
    try {
      for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
        parser.feed(decoder.decode(chunk, { stream: true }))
        wake()
      }
    } catch {
      // it was cut
    } finally {
      isOver = true
      wake()
    }
  }
  const over = reader().then(() => {
    if (wrong !== null) throw wrong
  })
  return {
    status: answer.status,
    headers: answer.headers,
    events,
    comments,
    /** The next event, with its data parsed. */
    // oxlint-disable-next-line typescript/no-explicit-any -- tests read any field
    async next(): Promise<{ event: string; id: string | undefined; data: any }> {
      while (read >= events.length) {
        if (isOver) throw new Error(`the stream ended after ${events.length} events`)
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
      const event = events[read++]
      return {
        event: event?.event ?? 'message',
        id: event?.id,
        data: dataOf(event),
      }
    },
    /** Resolves when the service has ended it. */
    over,
    cut: () => cut.abort(),
  }
}

const dataOf = (event?: Pick<EventSourceMessage, 'data'>): unknown =>
  event?.data === '[DONE]' ? '[DONE]' : JSON.parse(event?.data ?? 'null')
