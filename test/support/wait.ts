import { setTimeout as sleep } from 'node:timers/promises'

/** Of the real clock, also while a test has its timers stand still. */
export const { setTimeout: realTimeout, clearTimeout: clearRealTimeout } = globalThis

/** How long a test waits for something that must come, ms. Generous: the machine is shared. */
export const PATIENCE = 45_000

/** Waits until `check` gives something other than undefined, null or false. */
export async function until<T>(check: () => T | Promise<T>, what = 'the condition'): Promise<NonNullable<T>> {
  const end = Date.now() + PATIENCE
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== null && value !== false) return value
    if (Date.now() > end) throw new Error(`${what} did not come within ${PATIENCE} ms`)
    await sleep(5)
  }
}

/** A promise and what settles it. */
export function deferred<T = void>() {
  let resolve: (value: T) => void = () => undefined
  let reject: (why: Error) => void = () => undefined
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
