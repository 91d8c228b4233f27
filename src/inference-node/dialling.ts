import { createTurns } from '../lib/turns.js'
import type { Address } from './address.js'
import { hasLasted } from './reconnect.js'
import type { SessionEnd } from './session.js'

/** Which of the coordinators that stand for each other is dialled. One that is not in the list never is, whoever names it. */
export function createDialling(addresses: readonly [Address, ...Address[]]) {
  const turns = createTurns(addresses.map(({ url }) => url))
  /** The one whose session was lost is being dialled once more. */
  let isAgain = false

  return {
    address: (): Address => addresses[turns.at] ?? addresses[0],
    welcomed: (): void => turns.answered(),
    /** Whether a coordinator that asks for sessions to go on at this URL names another one of the list. */
    leadsAway(url: string | undefined): boolean {
      const place = turns.placeOf(url)
      return place >= 0 && place !== turns.at
    },
    /** A session has ended, or none was opened. @returns whether the next one is to be dialled without a pause */
    next(end: SessionEnd): boolean {
      const told = turns.placeOf(end.elsewhere)
      if (hasLasted(end)) isAgain = false
      if (!end.welcomed || isAgain) return turns.failed(turns.at, told) && !end.welcomed
      isAgain = true
      if (told >= 0) turns.goTo(told)
      return false
    },
  }
}
