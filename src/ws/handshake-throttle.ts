/** Time for handshakes in one turn of the event loop: what it lets in is committed together, and fewer commits are cheaper. */
const BUDGET_MS = 20

/** Runs a step: now, or in a later turn of the event loop, after all that came before it. */
export type HandshakeThrottle = (step: () => void) => void

/**
 * What is costly and comes in storms, such as the hellos of thousands of nodes after a restart: it is done in the order of
 * its coming, and a turn of the event loop takes only so much of it that everything else goes on in between. Not in the thread
 * pool: with two cores that was no faster, for half of the cost of a signature is to read the key, which cannot be done there.
 */
export function createHandshakeThrottle(budget = BUDGET_MS): HandshakeThrottle {
  const waiting: (() => void)[] = []
  let spent = 0
  let scheduled = false

  const run = (step: () => void): void => {
    const began = performance.now()
    step()
    spent += performance.now() - began
  }
  const schedule = (): void => {
    if (scheduled) return
    scheduled = true
    setImmediate(nextTurn)
  }
  function nextTurn(): void {
    scheduled = false
    spent = 0
    let done = 0
    while (done < waiting.length && spent < budget) {
      const step = waiting[done++]
      if (step !== undefined) run(step)
    }
    waiting.splice(0, done)
    if (done > 0) schedule() // what comes in this turn still is of this turn
  }
  return (step) => {
    if (waiting.length === 0 && spent < budget) run(step)
    else waiting.push(step)
    schedule()
  }
}
