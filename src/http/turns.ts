import { setImmediate as nextTurn } from 'node:timers/promises'

/** How long steps may take before everything else has its turn, ms. */
const TURN_MS = 8

/** Does something long in steps, with turns for everything else between them. */
export async function inTurns<T>(steps: Iterator<void, T>): Promise<T> {
  for (;;) {
    const end = performance.now() + TURN_MS
    do {
      const step = steps.next()
      if (step.done === true) return step.value
    } while (performance.now() < end)
    await nextTurn()
  }
}
