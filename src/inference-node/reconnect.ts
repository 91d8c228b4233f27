import { never } from '../lib/result.js'
import { closeCodes, reconnectAfter } from '../wire/codes.js'
import { jitteredWait, RECONNECT } from '../lib/backoff.js'
import type { SessionEnd } from './session.js'

/** What a node does after a session: stop for good, or dial again after `wait` ms. */
export type Plan = { stop: string } | { wait: number }

/** A coordinator that is back later than this will have been restarted by someone who can say so, seconds. */
const MAX_ANNOUNCED_SECONDS = 300
/** A session that ended sooner is not dialled again at once, whatever its code: that could go round for ever. */
export const SHORT_SESSION_MS = 1000
const DRAINED_CODE = 1000
/** A session that the coordinator takes for alive though it is not is closed after three silent heartbeat intervals. */
const OWN_SESSION_HEARTBEATS = 4

/** At `after` or later, by up to half of it: all nodes were told the same, and must not be back in the same moment. */
const spread = (after: number, random: () => number): number => after * (1 + random() / 2)

/** Whether a session was one: what went wrong before it does not count any more. */
export const hasLasted = ({ welcomed, lasted }: SessionEnd): boolean => welcomed && lasted >= SHORT_SESSION_MS

/**
 * What to do after a session.
 * @param failures sessions that were not welcomed, or ended soon after, in a row before this one
 */
export function planReconnect(end: SessionEnd, failures: number, random: () => number): Plan {
  const backoff = (): { wait: number } => ({ wait: jitteredWait(RECONNECT, failures, random) })
  const short = !hasLasted(end)
  if (end.code === DRAINED_CODE) return backoff() // as the node likes; one that has not asked to drain wants to work
  const rule = reconnectAfter(end.code)
  switch (rule) {
    case 'no':
      return { stop: whyStopped(end) }
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

function whyStopped({ code, reason, welcomed }: SessionEnd): string {
  if (code !== closeCodes.replaced.code) return `the coordinator closed the session with ${code}: ${reason}`
  return welcomed
    ? 'another node with this key has taken the session over (4409): two nodes cannot have one key; stop one of them, or give it a --key-file of its own'
    : 'another node with this key is in session and answers (4409): stop that one, give this one a --key-file of its own, or end the other session with --take-over'
}

/** Plans from one session to the next, for as long as a node runs. */
export function createReconnects(random: () => number) {
  let failures = 0
  /** How long a session of our own may still look alive at the coordinator, ms; 0 before there was one. */
  let ownLooksAlive = 0
  let refusedSince: number | null = null

  return {
    /** @param heartbeatInterval of a session that was welcomed, seconds */
    welcomed(heartbeatInterval: number): void {
      ownLooksAlive = heartbeatInterval * OWN_SESSION_HEARTBEATS * 1000
      refusedSince = null
    },
    /**
     * @param isRenewal the node itself has ended the session, to say a new hello
     * @param isMidRound the next coordinator of the list is dialled, which was not since the last welcome
     */
    after(end: SessionEnd, isRenewal = false, isMidRound = false): Plan {
      if (hasLasted(end)) failures = 0
      const plan = planReconnect(end, failures, random)
      if (isMidRound && 'wait' in plan) return { wait: 0 }
      failures++
      if (isRenewal && hasLasted(end)) return { wait: 0 }
      if (end.code !== closeCodes.replaced.code || end.welcomed) return plan
      // What is taken for another node may be our own earlier session, kept up by a proxy that answers for us.
      refusedSince ??= performance.now()
      return performance.now() - refusedSince < ownLooksAlive
        ? { wait: jitteredWait(RECONNECT, failures, random) }
        : plan
    },
  }
}
