import type { Logger } from '../lib/log.js'
import { never } from '../lib/result.js'
import type { DisconnectedEvent, NodeEvent } from './events.js'
import type { AttemptRef } from './task.js'

const LOST_CODE = 1006
/** From this one on equal lines are rare. */
const MANY_EQUAL = 5
const EQUAL_LINE_MS = 60_000

const rounded = (seconds: number): number => Math.round(seconds * 1000) / 1000
const short = (seconds: number): string => `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`
const named = ({ task_id, attempt }: AttemptRef): string => `${task_id}/${attempt}`
const counted = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`

/**
 * Writes one line for each event that matters; what happens to single tasks at debug, unless it went wrong. The message says
 * all that a person needs, the fields the same for machines.
 * @param now ms, for tests
 */
export function logEvents(log: Logger, now: () => number = () => performance.now()): (event: NodeEvent) => void {
  const explain = createDisconnections(now)
  return (event) => {
    const { type, ...fields } = event
    const line = { event: `node.${type}`, ...fields }
    switch (event.type) {
      case 'connected': {
        const { resumed, dropped } = event
        return log.info(
          line,
          `connected${resumed + dropped === 0 ? '' : `; goes on with ${counted(resumed, 'task')}, ${dropped} dropped`}`,
        )
      }
      case 'disconnected': {
        if (event.renewal) return log.debug(line, `opens a new session: ${event.reason}`)
        const text = explain(event)
        return text === null ? undefined : log.warn(line, text)
      }
      case 'status':
        return event.status === 'online'
          ? log.info(line, `online: ${event.reason}`)
          : log.warn(line, `maintenance: ${event.reason} (it gets no tasks until then, and looks again by itself)`)
      case 'models':
        return log.info(line, `offers ${event.models.join(', ')}`)
      case 'assigned':
        return log.debug(line, `${named(event)} assigned: ${event.model_name}`)
      case 'rejected':
        return log.warn(line, `${named(event)} rejected: ${event.reason}`)
      case 'completed':
        return log.info(
          { ...line, seconds: rounded(event.seconds) },
          `${named(event)} completed in ${short(event.seconds)}, ${counted(event.characters, 'character')}`,
        )
      case 'failed':
        return log.warn(
          { ...line, seconds: rounded(event.seconds) },
          `${named(event)} failed after ${short(event.seconds)}: ${event.error}`,
        )
      case 'cancelled':
        return log.info(
          line,
          event.reason === 'stopped'
            ? `${named(event)} given up: the coordinator gives it to another node`
            : `${named(event)} stopped: ${event.reason}`,
        )
      case 'settled':
        return log.debug(line, `${named(event)} settled: ${event.status}`)
      case 'refused':
        return log.warn(line, `the result of ${named(event)} is refused: ${event.message} (${event.code})`)
      case 'draining':
        return log.info(
          line,
          event.by === 'coordinator'
            ? 'the coordinator is stopping'
            : event.holds === 0
              ? 'draining: there is nothing to finish'
              : `draining: ${counted(event.holds, 'task')} to finish and to be settled; a second signal stops at once`,
        )
      case 'warning':
        return log.warn(line, event.message)
      case 'stopped': {
        const { reason, unsettled } = event.end
        const error = event.end.reason === 'fatal' ? { error: event.end.error.message } : {}
        return log.info(
          { event: line.event, reason, unsettled, ...error },
          `${reason === 'drained' ? 'drained' : 'stopped'}${unsettled === 0 ? '' : `; ${counted(unsettled, 'result')} not settled`}`,
        )
      }
      default:
        return never(event)
    }
  }
}

/** What to say of each end of a session; null when it need not be said. */
function createDisconnections(now: () => number) {
  let last = ''
  let equal = 0
  let saidAt = 0

  return ({ code, reason, welcomed, retry_in }: DisconnectedEvent): string | null => {
    if (retry_in === null) return null // the node ends with this reason, and the command with that error
    const why = `${welcomed ? 'disconnected' : 'not connected'}: ${reason}${code === LOST_CODE ? '' : ` (${code})`}`
    equal = why === last ? equal + 1 : 1
    last = why
    if (equal >= MANY_EQUAL && now() - saidAt < EQUAL_LINE_MS) return null
    saidAt = now()
    return equal >= MANY_EQUAL ? `${why}; ${equal} times now` : `${why}; trying again in ${short(retry_in)}`
  }
}
