import { never } from '../lib/result.js'
import type { Effect, Operation } from './operations.js'

/**
 * What sessions are told when an operation came to nothing, so that none of them waits for ever: the one place that knows it
 * of every operation. Who calls and awaits the outcome is told by the outcome.
 * @param code `unavailable` when it may be sent again; `internal` when the fault is ours
 */
export function refusalEffects(o: Operation, code: 'internal' | 'unavailable', message: string): Effect[] {
  switch (o.op) {
    case 'hello':
      return [{ session: o.session, close: 'tryLater', reason: message }]
    case 'message': {
      const named = 'task_id' in o.message ? { task_id: o.message.task_id, attempt: o.message.attempt } : {}
      return [{ session: o.session, message: { type: 'error', code: 'internal', message, ...named } }]
    }
    case 'submissions':
      return o.list.map(({ ref }) => ({ session: o.session, message: { type: 'error', code, message, ref } }))
    case 'client':
      return [{ session: o.session, message: { type: 'error', code, message, task_id: o.message.task_id } }]
    case 'submit':
    case 'register':
    case 'heartbeat':
    case 'poll':
    case 'complete':
    case 'fail':
    case 'task':
    case 'detail':
    case 'list':
    case 'cancel':
    case 'retry':
    case 'nodes':
    case 'drain':
    case 'forget':
    case 'stats':
    case 'health':
    case 'seen':
    case 'disconnect':
    case 'left':
    case 'tick':
    case 'stop':
      return []
    default:
      return never(o)
  }
}
