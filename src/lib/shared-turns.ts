/** Where nothing else is said. */
const SLICE_MS = 4

interface Waiting {
  steps: Iterator<void, unknown>
  done(value: unknown): void
  failed(error: unknown): void
}

export type SharedTurns = ReturnType<typeof createSharedTurns>

/**
 * Does what takes long in steps, with turns of the event loop for everything else between them. Who comes while others are at it
 * takes turns with them, a step each: a short one is not behind a long one.
 * @param now a clock, ms
 * @param sliceMs how long the steps of all may take before everything else has its turn
 */
export function createSharedTurns(now: () => number = () => performance.now(), sliceMs = SLICE_MS) {
  let waiting: Waiting[] = []
  let running = false

  const stepOf = ({ steps, done, failed }: Waiting): boolean => {
    try {
      const step = steps.next()
      if (step.done === true) done(step.value)
      return step.done !== true
    } catch (error) {
      failed(error)
      return false
    }
  }
  const slice = (): void => {
    const end = now() + sliceMs
    while (waiting.length > 0 && now() < end) {
      const round = waiting
      waiting = []
      let i = 0
      for (; i < round.length && now() < end; i++) {
        const one = round[i]
        if (one !== undefined && stepOf(one)) waiting.push(one)
      }
      waiting = [...round.slice(i), ...waiting]
    }
    running = waiting.length > 0
    if (running) setImmediate(slice)
  }

  /** @returns what the steps come to; rejects when one of them throws */
  return <T>(steps: Iterator<void, T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      // What it resolves with is what its own steps have returned.
      waiting.push({ steps, done: resolve, failed: reject })
      if (running) return
      running = true
      setImmediate(slice)
    })
}
