/** Time for handshakes in one turn of the event loop, ms: what it lets in is committed together, and fewer commits are cheaper. */
const BUDGET_MS = 20
/** Of that, for those of one address. */
const ADDRESS_BUDGET_MS = 4

/**
 * Runs a step: now, or in a later turn of the event loop, after all that came before it from the same address.
 * @param address what it counts as; null where addresses are not counted
 */
export type HandshakeThrottle = (step: () => void, address: string | null) => void

/**
 * What is costly and comes in storms, such as the hellos of thousands of nodes after a restart: a turn of the event loop takes only
 * so much of it that everything else goes on in between, and addresses take turns, so that nobody waits for what one of them
 * sends. Not in the thread pool: with two cores that was no faster, for half of the cost of a signature is to read the key, which
 * cannot be done there.
 * @param now a clock, ms
 */
export function createHandshakeThrottle(
  budget = BUDGET_MS,
  ofAddress = ADDRESS_BUDGET_MS,
  now: () => number = () => performance.now(),
): HandshakeThrottle {
  /** The steps of each address, in the order of their coming. */
  const waiting = new Map<string | null, (() => void)[]>()
  /** Of this turn, ms: in all, and by the addresses that are counted. */
  let spent = 0
  const spentBy = new Map<string, number>()
  let scheduled = false

  const hasTime = (address: string | null): boolean =>
    spent < budget && (address === null || (spentBy.get(address) ?? 0) < ofAddress)
  const run = (step: () => void, address: string | null): void => {
    const began = now()
    step()
    const took = now() - began
    spent += took
    if (address !== null) spentBy.set(address, (spentBy.get(address) ?? 0) + took)
  }
  const schedule = (): void => {
    if (scheduled) return
    scheduled = true
    setImmediate(nextTurn)
  }
  /** One step of each address that has time left. @returns whether there was any */
  const round = (): boolean => {
    let ran = false
    for (const [address, steps] of waiting) {
      if (!hasTime(address)) continue
      const step = steps.shift()
      if (steps.length === 0) waiting.delete(address)
      if (step !== undefined) run(step, address)
      ran = true
    }
    return ran
  }
  function nextTurn(): void {
    scheduled = false
    spent = 0
    spentBy.clear()
    let done = false
    while (round()) done = true
    if (done || waiting.size > 0) schedule() // what comes in this turn still is of this turn
  }
  return (step, address) => {
    const steps = waiting.get(address)
    if (steps !== undefined) steps.push(step)
    else if (hasTime(address)) run(step, address)
    else waiting.set(address, [step])
    schedule()
  }
}
