import { clearRealTimeout, deferred, PATIENCE, realTimeout } from './wait.js'

/** Values that come; each is taken once, by the first one that asks for its like. */
export function createInbox<T>() {
  const unread: T[] = []
  const all: T[] = []
  const waiting = new Set<{ fits: (value: T) => boolean; resolve: (value: T) => void; reject: (why: Error) => void }>()
  let end: string | null = null
  return {
    /** What was not taken yet, in order. */
    unread,
    /** Everything that came, in order. */
    all,
    put(value: T): void {
      all.push(value)
      for (const one of waiting) {
        if (!one.fits(value)) continue
        waiting.delete(one)
        return one.resolve(value)
      }
      unread.push(value)
    },
    /** Nothing comes any more: whoever waits, or takes what is not there, fails. */
    end(why: string): void {
      end = why
      for (const one of waiting) one.reject(new Error(why))
      waiting.clear()
    },
    /** @throws Error when it does not come in time, or nothing comes any more */
    take<U extends T>(fits: (value: T) => value is U, what = 'what was waited for'): Promise<U> {
      const at = unread.findIndex(fits)
      if (at >= 0) return Promise.resolve(unread.splice(at, 1)[0] as U)
      const failure = (why: string): Error => new Error(`${what} did not come: ${why}; got ${JSON.stringify(unread)}`)
      if (end !== null) return Promise.reject(failure(end))
      const { promise, resolve, reject } = deferred<U>()
      promise.catch(() => undefined) // nobody may be waiting for it any more
      const one = {
        fits,
        resolve: (value: T) => (clearRealTimeout(timer), resolve(value as U)),
        reject: (why: Error) => (clearRealTimeout(timer), reject(failure(why.message))),
      }
      const timer = realTimeout(() => {
        waiting.delete(one)
        reject(failure(`it took more than ${PATIENCE} ms`))
      }, PATIENCE)
      waiting.add(one)
      return promise
    },
  }
}
