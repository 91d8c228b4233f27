import type { Logger } from '../lib/log.js'
import { never } from '../lib/result.js'
import type { NodeEvent } from './events.js'

const rounded = (seconds: number): number => Math.round(seconds * 1000) / 1000

/** Writes one line for each event that matters; what happens to single tasks at debug, unless it went wrong. */
export function logEvents(log: Logger): (event: NodeEvent) => void {
  return (event) => {
    const { type, ...fields } = event
    const line = { event: `node.${type}`, ...fields }
    switch (event.type) {
      case 'connected':
        return log.info(line, `connected; ${event.resumed} resumed, ${event.dropped} dropped`)
      case 'disconnected':
        return log.warn(
          line,
          `disconnected (${event.code}): ${event.reason}${event.retry_in === null ? '' : `; trying again in ${rounded(event.retry_in)} s`}`,
        )
      case 'status':
        return event.status === 'online'
          ? log.info(line, `online: ${event.reason}`)
          : log.warn(line, `maintenance: ${event.reason}`)
      case 'models':
        return log.info(line, `serves ${event.models.join(', ')}`)
      case 'assigned':
        return log.debug(line, 'task accepted')
      case 'rejected':
        return log.warn(line, `task rejected: ${event.reason}`)
      case 'completed':
        return log.info({ ...line, seconds: rounded(event.seconds) }, 'task completed')
      case 'failed':
        return log.warn({ ...line, seconds: rounded(event.seconds) }, `task failed: ${event.error}`)
      case 'cancelled':
        return log.info(line, `task stopped: ${event.reason}`)
      case 'settled':
        return log.debug(line, `task settled: ${event.status}`)
      case 'refused':
        return log.warn(line, `result refused (${event.code}): ${event.message}`)
      case 'draining':
        return log.info(
          line,
          event.by === 'node' ? `draining; ${event.holds} to finish` : 'the coordinator is stopping',
        )
      case 'warning':
        return log.warn(line, event.message)
      case 'stopped':
        return log.info(
          { event: line.event, reason: event.end.reason, unsettled: event.end.unsettled },
          `stopped: ${event.end.reason}; ${event.end.unsettled} unsettled results`,
        )
      default:
        return never(event)
    }
  }
}
