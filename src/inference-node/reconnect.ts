import { never } from '../lib/result.js'
import { reconnectAfter } from '../wire/codes.js'
import { jitteredWait, RECONNECT } from './backoff.js'
import type { SessionEnd } from './session.js'

/** What a node does after a session: stop for good, or dial again after `wait` ms. */
export type Plan = { stop: string } | { wait: number }

/** A coordinator that is back later than this will have been restarted by someone who can say so, seconds. */
const MAX_ANNOUNCED_SECONDS = 300
/** A session that ended sooner is not dialled again at once, whatever its code: that could go round for ever. */
export const SHORT_SESSION_MS = 1000
const DRAINED_CODE = 1000

/** At `after` or later, by up to half of it: all nodes were told the same, and must not be back in the same moment. */
const spread = (after: number, random: () => number): number => after * (1 + random() / 2)

/**
 * What to do after a session.
 * @param failures sessions that were not welcomed, or ended soon after, in a row before this one
 */
export function planReconnect(end: SessionEnd, failures: number, random: () => number): Plan {
  const backoff = (): { wait: number } => ({ wait: jitteredWait(RECONNECT, failures, random) })
  const short = !end.welcomed || end.lasted < SHORT_SESSION_MS
  if (end.code === DRAINED_CODE) return backoff() // as the node likes; one that has not asked to drain wants to work
  const rule = reconnectAfter(end.code)
  switch (rule) {
    case 'no':
      return { stop: `the coordinator closed the session with ${end.code}: ${end.reason}` }
    case 'after':
      if (end.reconnectAfter === null) return backoff()
      return {
        wait: Math.max(
          Math.min(spread(end.reconnectAfter, random), MAX_ANNOUNCED_SECONDS) * 1000,
          short ? backoff().wait : 0,
        ),
      }
    case 'now':
      return short ? backoff() : { wait: 0 }
    case 'backoff':
      return backoff()
    default:
      return never(rule)
  }
}
