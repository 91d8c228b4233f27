/** The longest delay a timer of the runtime takes (24.8 days); a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Calls `run` once after `ms`, however long that is. Returns what takes it back. */
export function after(ms: number, run: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>
  const arm = (left: number): void => {
    timer = left > MAX_TIMER_MS ? setTimeout(() => arm(left - MAX_TIMER_MS), MAX_TIMER_MS) : setTimeout(run, left)
  }
  arm(Math.max(0, ms))
  return () => clearTimeout(timer)
}

/** Resolves after `ms`, which is a time that a timer takes. By the timers that are there when it is called. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Resolves after `ms`, or as soon as the signal aborts. Never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const end = (): void => {
      cancel()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const cancel = after(ms, end)
    signal.addEventListener('abort', end)
  })
}

/** What a promise comes to, or the signal's reason if that comes first: for calls that may not listen to their signal. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)))
    promise.then(resolve, reject)
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}

/**
 * What `run` comes to, with a signal that aborts when the parent does or after `ms`, with the error `late`. Not AbortSignal.any() with a timeout()
 * in it: nothing holds such a timeout, and the collector takes it with its timer.
 */
export async function within<T>(
  ms: number,
  parent: AbortSignal,
  run: (signal: AbortSignal) => T | Promise<T>,
  late = new Error(`no answer within ${ms / 1000} s`),
): Promise<T> {
  const own = new AbortController()
  const end = (): void => own.abort(parent.reason)
  const cancel = after(ms, () => own.abort(late))
  parent.addEventListener('abort', end)
  if (parent.aborted) end()
  try {
    return await orAborted(Promise.resolve(run(own.signal)), own.signal)
  } finally {
    cancel()
    parent.removeEventListener('abort', end)
  }
}
