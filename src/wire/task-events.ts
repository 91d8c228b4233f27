import type { ClientAnswer } from './client-answers.js'
import type { TaskEvent } from './task-event-data.js'

export type { TaskEvent }

type Result = Extract<ClientAnswer, { type: 'task.result' }>

/** How much of the text is kept to compare. */
const TAIL_UNITS = 64

/** Where a reader is in the text of a task. */
export interface TextPlace {
  attempt: number
  /** UTF-16 units. */
  offset: number
}

/**
 * The events of one task, of what a session is told of it: a new attempt after text is said, and the text is whole before the result.
 * @param from what the reader has
 */
export function createTaskEvents(from: TextPlace = { attempt: 0, offset: 0 }) {
  const place = { ...from }
  /** The newest attempt that was told of. */
  let newest = from.attempt
  /** The last of the text that was told here: the result has to go on with it. */
  let tail = ''

  const restart = (task_id: string, attempt: number): TaskEvent[] => {
    if (attempt <= newest) return []
    newest = attempt
    const hadText = place.attempt !== 0 && place.offset > 0
    if (hadText) place.offset = 0
    tail = ''
    return hadText ? [{ event: 'restart', task_id, attempt }] : []
  }

  /** What of the answer was not told in pieces. */
  const rest = ({ task_id, result, attempt }: Result): TaskEvent[] => {
    const output = result?.output ?? ''
    const { offset } = place
    const isSame =
      place.attempt === (attempt ?? newest) && output.slice(Math.max(0, offset - tail.length), offset) === tail
    const delta = output.slice(offset)
    if (delta === '' || (offset > 0 && !isSame)) return []
    place.attempt = attempt ?? Math.max(newest, 1)
    place.offset += delta.length
    return [{ event: 'output', task_id, attempt: place.attempt, channel: 'text', offset, delta }]
  }

  return {
    /** Where the reader is now. */
    place: place as Readonly<TextPlace>,
    take(message: Exclude<ClientAnswer, { type: 'error' | 'task.submitted' }>): TaskEvent[] {
      const { task_id } = message
      switch (message.type) {
        case 'task.status': {
          const { status, attempt } = message
          return [
            ...(status === 'in_progress' ? restart(task_id, attempt) : []),
            { event: 'status', task_id, status, attempt },
          ]
        }
        case 'task.output': {
          const { attempt, offset, delta, channel = 'text' } = message
          const before = restart(task_id, attempt)
          if (channel === 'text') {
            place.attempt = attempt
            place.offset = offset + delta.length
            tail = (tail + delta).slice(-TAIL_UNITS)
          }
          return [...before, { event: 'output', task_id, attempt, channel, offset, delta }]
        }
        case 'task.result': {
          const { type: _, ...result } = message
          return [...rest(message), { event: 'result', ...result }]
        }
      }
    },
  }
}
