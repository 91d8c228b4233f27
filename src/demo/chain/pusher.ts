import { request } from 'node:http'

/** How long an observer may take to answer: a real node has no limit, and stands still. Ms. */
const PATIENCE_MS = 10_000

export type Pusher = ReturnType<typeof createPusher>

/**
 * Tells one observer events: one after another, each over a connection of its own and again and again until it is answered 2xx.
 * @param every ms after which an event is told again
 */
export function createPusher(url: string, every: number) {
  let queue: { path: string; body: string }[] = []
  let running: Promise<void> | null = null
  let isPaused = false
  let wake: () => void = () => undefined
  const closing = new AbortController()

  const isTold = ({ path, body }: { path: string; body: string }): Promise<boolean> =>
    new Promise((resolve) => {
      const sent = request(url + path, {
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        signal: AbortSignal.any([closing.signal, AbortSignal.timeout(PATIENCE_MS)]),
      })
      sent.on('response', (response) => {
        const status = response.statusCode ?? 0
        response.resume()
        response.on('close', () => resolve(status >= 200 && status < 300))
      })
      sent.on('error', () => resolve(false))
      sent.end(body)
    })
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  const run = async (): Promise<void> => {
    for (let next = queue[0]; next !== undefined && !isPaused && !closing.signal.aborted; next = queue[0]) {
      if (await isTold(next)) queue.shift()
      else if (!closing.signal.aborted) await pause(every)
    }
  }
  const start = (): void => {
    if (running !== null || closing.signal.aborted) return
    running = run().finally(() => {
      running = null
      if (queue.length > 0 && !isPaused) start()
    })
  }

  return {
    tell(path: string, body: object): void {
      queue.push({ path, body: JSON.stringify(body) })
      start()
    },
    /** Events that were not taken yet. */
    waiting: (): number => queue.length,
    /** Tells nothing more, until it goes on where it was. */
    pause(paused: boolean): void {
      isPaused = paused
      if (!paused && queue.length > 0) start()
    },
    async close(): Promise<void> {
      closing.abort()
      queue = []
      wake()
      await running
    },
  }
}
