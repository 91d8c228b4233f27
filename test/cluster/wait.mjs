import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until `check` gives something that is true. @param patience ms @throws Error when it has not within that */
export async function waitFor(what, patience, check, step = 50) {
  for (const end = Date.now() + patience; ; await sleep(step)) {
    const value = await check()
    if (value) return value
    if (Date.now() > end) throw new Error(`${what} did not come within ${patience / 1000} s`)
  }
}

/** As sleep, but over at once when the signal aborts. */
export const sleepUntil = (ms, signal) => sleep(ms, undefined, { signal }).catch(() => undefined)
