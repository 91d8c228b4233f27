import type { Exchange } from './exchange.js'

/** How long a submission waits for an overload to end, ms: a fifth of what its refusal asks of who sends it again. */
const HOLD_MS = 1000
/** So many wait at once, each with up to 64 KiB of its body in memory. */
const MAX_HELD = 1024

/**
 * While the service is overloaded a submission waits a second, unread, before it is refused, or taken after all. A refusal takes time of
 * those that are served: who sends again at once gets one a second over each connection, and not thousands.
 * @returns what lets an exchange wait, and goes on with it unless it has ended; false: too many wait
 */
export function createHold(): (exchange: Pick<Exchange, 'onEnd'>, goOn: () => void) => boolean {
  let held = 0
  return (exchange, goOn) => {
    if (held >= MAX_HELD) return false
    held++
    let waits = true
    const leave = (): boolean => {
      if (!waits) return false
      waits = false
      held--
      return true
    }
    const timer = setTimeout(() => leave() && goOn(), HOLD_MS)
    exchange.onEnd(() => leave() && clearTimeout(timer))
    return true
  }
}
