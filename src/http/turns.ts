import { setImmediate as nextImmediate } from 'node:timers/promises'

/** How long all steps of a turn may take before everything else has its turn, ms. */
const TURN_MS = 4

/** What steps have taken of this turn, ms, and its end, if anything waits for it. */
let spent = 0
let turn: Promise<void> | null = null

/**
 * Does something long in steps, with turns for everything else between them. What goes on at the same time shares a turn: the
 * first has most of it, and each of the others a step, so that many are no longer turns.
 */
export async function inTurns<T>(steps: Iterator<void, T>): Promise<T> {
  for (;;) {
    turn ??= nextImmediate().then(() => {
      spent = 0
      turn = null
    })
    const began = performance.now()
    const end = began + TURN_MS - spent
    let now
    do {
      const step = steps.next()
      now = performance.now()
      if (step.done === true) {
        spent += now - began
        return step.value
      }
    } while (now < end)
    spent += now - began
    await turn
  }
}
