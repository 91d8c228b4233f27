import type { Raise } from './node-watch.js'
import type { AlertThresholds } from './settings.js'
import { createRecentlyUsed } from '../../lib/recently-used.js'
import { createWindow } from './window.js'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const MAX_SUBJECTS = 20_000
/** The newest fees of a model, whose median is the usual one. */
const NEWEST_FEES = 101
/** Fewer tell nothing of what is usual. */
const MIN_FEES = 20
/** A surge has at least so many in the hour. */
const MIN_SURGE = { owner: 100, nodes: 10 } as const
/** Hours of the day before that make the usual hour. */
const USUAL_HOURS = 24

/** What happens at the doors that an operator should hear of when it is much. */
export const doorEvents = ['auth_failed', 'key_mismatch', 'replay', 'squatted', 'server_error'] as const
export type DoorEvent = (typeof doorEvents)[number]

const createSurge = () => ({ hour: createWindow(HOUR_MS), day: createWindow(DAY_MS, USUAL_HOURS) })

/** Watches submitters, operators and the doors. Times are ms of the service clock. */
export function createServiceWatch(limits: AlertThresholds, raise: Raise) {
  const authFailures = createWindow(MINUTE_MS)
  const authFailuresOf = createRecentlyUsed(MAX_SUBJECTS, () => createWindow(MINUTE_MS))
  const serverErrors = createWindow(MINUTE_MS)
  const fees = createRecentlyUsed(MAX_SUBJECTS, () => ({ newest: [] as number[], median: 0, seen: 0, until: MIN_FEES }))
  const owners = createRecentlyUsed(MAX_SUBJECTS, createSurge)
  const newNodes = createSurge()
  const actions = createWindow(MINUTE_MS)
  const operatorAddresses = createRecentlyUsed(MAX_SUBJECTS, () => ({ known: false }))

  /** How many there were in the hour, where that is far above the usual; else null. Counts so many. */
  const surge = (
    { hour, day }: ReturnType<typeof createSurge>,
    least: number,
    now: number,
    count = 1,
  ): number | null => {
    hour.add(now, count)
    day.add(now, count)
    const recent = hour.sum(now)
    const usual = (day.sum(now) - recent) / (USUAL_HOURS - 1)
    return recent >= least && usual > 0 && recent > limits.surgeFactor * usual ? recent : null
  }

  return {
    door(event: DoorEvent, address: string, now: number): void {
      if (event === 'server_error') {
        serverErrors.add(now)
        const n = serverErrors.sum(now)
        if (n > limits.serverErrors)
          raise('server_errors', '', `${n} requests failed through our own fault within a minute; the log has each`)
        return
      }
      authFailures.add(now)
      const all = authFailures.sum(now)
      if (all > limits.authFailures)
        raise('auth_failures', '', `${all} calls within a minute had a wrong token, key or signature`)
      const own = authFailuresOf.of(address)
      own.add(now)
      if (own.sum(now) > limits.authFailuresPerAddress)
        raise('auth_failures', address, `${own.sum(now)} calls within a minute had a wrong token, key or signature`)
    },

    /** Tasks of a model were submitted with these fees. */
    paid(model: string, offered: readonly number[], owner: string): void {
      const known = fees.of(model)
      for (const fee of offered) {
        if (known.median > 0 && fee > limits.feeFactor * known.median)
          raise('fee_outlier', owner, `a fee of ${fee} micro-STX for ${model}, whose usual fee is ${known.median}`)
        known.newest[known.seen++ % NEWEST_FEES] = fee
        if (--known.until > 0) continue
        // Not at each: to sort them costs more than the rest of a submission's watch.
        known.until = NEWEST_FEES
        known.median = [...known.newest].sort((a, b) => a - b)[known.newest.length >> 1] ?? 0
      }
    },

    /** An owner has submitted so many tasks. */
    submitted(owner: string, count: number, now: number): void {
      const n = surge(owners.of(owner), MIN_SURGE.owner, now, count)
      if (n !== null)
        raise(
          'owner_surge',
          owner,
          `${n} submissions within an hour, more than ${limits.surgeFactor} times its usual hour`,
        )
    },

    nodeJoined(now: number): void {
      const n = surge(newNodes, MIN_SURGE.nodes, now)
      if (n !== null)
        raise(
          'new_node_surge',
          '',
          `${n} new nodes within an hour, more than ${limits.surgeFactor} times the usual hour`,
        )
    },

    operatorActed(actor: string, address: string, now: number): void {
      actions.add(now)
      const n = actions.sum(now)
      if (n > limits.operatorActions) raise('operator_surge', '', `${n} actions of operators within a minute`)
      const seen = operatorAddresses.of(`${actor} ${address}`)
      // The first address of a token is its usual one.
      const first = operatorAddresses.of(actor)
      if (first.known && !seen.known) raise('operator_surge', actor, `acted from ${address}, where it was never seen`)
      first.known = true
      seen.known = true
    },
  }
}
