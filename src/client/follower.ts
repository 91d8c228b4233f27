import type { ClientServerMessage } from '../wire/client-answers.js'
import type { TaskEvent, TextPlace } from '../wire/task-events.js'

type Message = Extract<ClientServerMessage, { type: 'task.status' | 'task.output' | 'task.result' }>

/** A message of a session as the event that the same is over REST. */
export function eventOf(message: Message): TaskEvent {
  switch (message.type) {
    case 'task.status': {
      const { type: _, ...rest } = message
      return { event: 'status', ...rest }
    }
    case 'task.output': {
      const { type: _, channel = 'text', ...rest } = message
      return { event: 'output', channel, ...rest }
    }
    case 'task.result': {
      const { type: _, ...rest } = message
      return { event: 'result', ...rest }
    }
  }
}

export type Follower = ReturnType<typeof createFollower>

/**
 * Puts the events of a task in order, whatever connections they came over: each character once, none after one that is missing,
 * and the text is whole before the result. After the last `restart` all text together is the output of the result.
 */
export function createFollower(task_id: string, onEvent: (event: TaskEvent) => void, wantsText: boolean) {
  let attempt = 0
  let text = ''
  /** How much of what the model thinks is told, UTF-16 units. */
  let thought = 0
  let stands = ''

  const forget = (): void => {
    const had = text !== '' || thought > 0
    text = ''
    thought = 0
    if (had) onEvent({ event: 'restart', task_id, attempt })
  }
  const begin = (next: number): void => {
    if (next <= attempt) return
    attempt = next
    forget()
  }
  const output = (piece: Extract<TaskEvent, { event: 'output' }>): void => {
    if (piece.attempt < attempt) return
    begin(piece.attempt)
    const isText = piece.channel === 'text'
    const offset = isText ? text.length : thought
    // After a gap the rest comes with the result.
    const delta = piece.offset > offset ? '' : piece.delta.slice(offset - piece.offset)
    if (delta === '') return
    if (isText) text += delta
    else thought += delta.length
    onEvent({ ...piece, offset, delta })
  }

  return {
    /** How much is here: what another connection goes on from. */
    place: (): TextPlace => ({ attempt, offset: text.length }),
    take(event: TaskEvent): void {
      switch (event.event) {
        case 'status': {
          if (event.status === 'in_progress') begin(event.attempt)
          const now = `${event.status} ${event.attempt}`
          if (now !== stands) onEvent(event)
          stands = now
          return
        }
        case 'restart':
          return begin(event.attempt)
        case 'output':
          return output(event)
        case 'result': {
          const whole = event.result?.output
          if (wantsText && whole !== undefined) {
            begin(event.attempt ?? Math.max(attempt, 1))
            if (!whole.startsWith(text)) forget()
            output({ event: 'output', task_id, attempt, channel: 'text', offset: 0, delta: whole })
          }
          return onEvent(event)
        }
      }
    },
  }
}
