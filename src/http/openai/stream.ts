import type { TaskEvent } from '../../wire/task-events.js'
import { openEventStream, type EventStream } from '../event-stream.js'
import type { Exchange } from '../exchange.js'
import { failureOf, type Asked, type Failure, type Form } from './views.js'

/** The headers of a stream come with its first piece, or after this, ms; until then what fails has its status. */
const HEADERS_WITHIN_MS = 10_000
/** How often a stream says that it waits, ms. */
const WAITING_EVERY_MS = 10_000

export interface PiecesParts {
  exchange: Exchange
  asked: Asked
  form: Form
  headers: Record<string, string>
  includeUsage: boolean
  /** Where the task is in its queue, as a sentence; null when it does not wait. */
  place(): Promise<string | null>
  /** It failed before anything was sent. */
  onFailure(failure: Failure): void
  /** Its answer has begun: from here on the status is 200. */
  onBegun(): void
  /** It ended before its task did. */
  onAborted(): void
  /** The reader was cut off because he takes too little: that is no wish to stop. */
  onCut(): void
}

/** The answer to a request in pieces. */
export function createPieces(parts: PiecesParts) {
  const { exchange, asked, form } = parts
  let stream: EventStream | null = null
  let open = true
  let isMoving = false
  /** The text that was sent, and what the attempt of now has said of it: they are equal as far as the second goes. */
  let sent = ''
  let said = ''
  let isAgain = false

  const begin = (): EventStream => {
    if (stream !== null) return stream
    stream = openEventStream(exchange, { comment: null, headers: parts.headers, onCut: parts.onCut })
    parts.onBegun()
    return stream
  }
  const write = (value: object | null): void => {
    if (value !== null) begin().send({ data: JSON.stringify(value) })
  }
  const move = (): void => {
    if (isMoving) return
    isMoving = true
    clearInterval(waits)
    write(form.begin(asked))
  }
  const finish = (): void => {
    open = false
    clearInterval(waits)
    clearTimeout(first)
    stream?.end()
  }
  const abort = (failure: Failure): void => {
    if (stream === null) parts.onFailure(failure)
    else write({ error: { ...failure.error, task_id: asked.taskId } })
    finish()
  }
  const tellPlace = (): void => {
    void parts.place().then((place) => {
      if (open && !isMoving) begin().comment(place ?? 'waiting for the first words')
    })
  }
  let waits: NodeJS.Timeout | undefined
  const first = setTimeout(() => {
    if (isMoving) return
    tellPlace()
    waits = setInterval(tellPlace, WAITING_EVERY_MS)
  }, HEADERS_WITHIN_MS)
  exchange.onEnd(() => {
    open = false
    clearInterval(waits)
    clearTimeout(first)
  })

  /** A new attempt says what was sent before once more: that is swallowed. @returns false at the first difference */
  const text = (delta: string): boolean => {
    const before = said.length
    said += delta
    const known = Math.min(said.length, sent.length)
    if (said.slice(before, known) !== sent.slice(before, known)) return false
    const rest = said.slice(Math.max(before, sent.length))
    if (rest === '') return true
    sent = said
    move()
    write(form.piece(asked, 'text', rest))
    return true
  }
  const restarted = (): void => {
    const message = 'another node had to begin the answer anew, and says something else than what was sent'
    abort({ status: 502, error: { message, type: 'server_error', param: null, code: 'attempt_restarted' } })
    parts.onAborted()
  }

  return {
    abort,
    stop(): void {
      if (open) finish()
    },
    take(event: TaskEvent): void {
      if (!open) return
      switch (event.event) {
        case 'status':
          return
        case 'restart':
          said = ''
          isAgain = true
          return
        case 'output':
          if (event.channel === 'text') return text(event.delta) ? undefined : restarted()
          if (isAgain || event.delta === '') return
          move()
          return write(form.piece(asked, 'reasoning', event.delta))
        case 'result': {
          const failure = failureOf({ type: 'task.result', ...event })
          if (failure !== null) return abort(failure)
          const { result } = event
          if (result === null) return
          if (!result.output.startsWith(sent)) return restarted()
          move()
          for (const chunk of form.end(asked, result)) write(chunk)
          if (parts.includeUsage) write(form.usage(asked, result))
          begin().send({ data: '[DONE]' })
          return finish()
        }
      }
    },
  }
}
