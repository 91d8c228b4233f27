import { never } from '../lib/result.js'
import type { Attempts } from './attempts.js'
import type { NodeEvent } from './events.js'
import type { Results } from './results.js'
import type { WorkMessage } from './session.js'

export interface MessageParts {
  attempts: Attempts
  results: Results
  emit(event: NodeEvent): void
}

/** What a message of the coordinator means for the work of a node. */
export function takeMessage(message: WorkMessage, parts: MessageParts): void {
  const { attempts, results, emit } = parts
  switch (message.type) {
    case 'task.assign':
      return attempts.assign(message)
    case 'task.cancel':
      return void attempts.stop(message, message.reason)
    case 'task.settled': {
      const { task_id, attempt, status } = message
      if (results.settled(message)) emit({ type: 'settled', task_id, attempt, status })
      return
    }
    case 'session.drain':
      return emit({ type: 'draining', by: 'coordinator', holds: attempts.size + results.size })
    case 'error':
      return takeError(message, parts)
    default:
      never(message)
  }
}

function takeError(
  { task_id, attempt, code, message }: Extract<WorkMessage, { type: 'error' }>,
  { attempts, results, emit }: MessageParts,
): void {
  if (task_id === undefined || attempt === undefined)
    return emit({ type: 'warning', message: `the coordinator answers ${code}: ${message}` })
  const ref = { task_id, attempt }
  const isOver = code === 'stale_attempt' || code === 'not_holder'
  if (isOver ? attempts.stop(ref, code) : attempts.acceptAgain(ref)) return
  if (results.refused(ref, code)) emit({ type: 'refused', ...ref, code, message })
}
