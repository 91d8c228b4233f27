import { useEffect, useState } from 'preact/hooks'
import type { TaskEvent } from '../../../src/wire/task-events.js'
import { readEvents, sleep } from '../state/event-stream.js'
import { api } from '../parts/paths.js'
import { words } from '../words/index.js'

/** What is kept of a text, UTF-16 units: the rest is in the result. */
const MOST_UNITS = 200_000
const SILENCE_MS = 60_000
const AGAIN_MS = 1000

/** The text of a task as it is made. It is text: whatever stands in it, nothing of it is markup. */
export function LiveText({ id, onEnd }: { id: string; onEnd: () => void }) {
  const t = words.value
  const [text, setText] = useState('')
  useEffect(() => {
    const stop = new AbortController()
    let lastId: string | null = null
    let hasEnded = false
    const take = (event: TaskEvent): void => {
      if (event.event === 'restart') setText('')
      if (event.event === 'output' && event.channel === 'text')
        setText((last) => (last.slice(0, event.offset) + event.delta).slice(0, MOST_UNITS))
      if (event.event !== 'result') return
      hasEnded = true
      onEnd()
    }
    const read = async (): Promise<void> => {
      while (!stop.signal.aborted && !hasEnded) {
        const { status } = await readEvents(`${api.task(id)}/events`, {
          lastId,
          silenceMs: SILENCE_MS,
          stop: stop.signal,
          onOpen: () => undefined,
          onEvent(message) {
            if (message.id !== undefined) lastId = message.id
            take({ event: message.event, ...(JSON.parse(message.data) as object) } as TaskEvent)
          },
        })
        if (status !== 0 && status !== 200) return
        await sleep(AGAIN_MS, stop.signal)
      }
    }
    void read()
    return () => stop.abort()
  }, [id])
  return (
    <pre class="text" tabIndex={0} aria-label={t.task.live}>
      {text === '' ? t.task.noTextYet : text}
    </pre>
  )
}
