import { setTimeout as sleep } from 'node:timers/promises'
import type { TaskDetail } from '../../client/index.js'
import { cutToWidth } from '../../lib/text-width.js'
import { oneLine } from '../../lib/table.js'

/** How often it is looked where a task is, ms. */
const LOOK_EVERY_MS = 1000
/** What does not pass by itself is said also where nobody sees a line that changes. */
const STUCK: ReadonlySet<string> = new Set(['no_node_for_model', 'needs_feature'])

/**
 * Says on standard error why a task waits, and where it is in its queue: on a terminal in a line that changes, elsewhere once, and only
 * what may last.
 * @param look how the task stands; it may fail
 */
export function showWaiting(look: () => Promise<TaskDetail>, err: NodeJS.WriteStream = process.stderr) {
  const stopped = new AbortController()
  let shown = ''
  const show = (line: string): void => {
    if (line === shown) return
    if (err.isTTY) err.write(`\r\x1b[K${cutToWidth(line, (err.columns ?? 80) - 1)}`)
    else if (line !== '') err.write(`${line}\n`)
    shown = line
  }
  const run = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const task = await look().catch(() => null) // it is not stored yet, or the service is gone for a moment
      if (stopped.signal.aborted) return
      const waiting = task?.waiting ?? null
      if (waiting !== null && (err.isTTY || STUCK.has(waiting.reason)))
        show(oneLine(`waiting, position ${waiting.position}: ${waiting.explanation}`))
      else if (err.isTTY) show('')
      await sleep(LOOK_EVERY_MS, undefined, { signal: stopped.signal }).catch(() => undefined)
    }
  }
  void run()
  return {
    /** It waits no more: the line is gone. */
    stop(): void {
      if (stopped.signal.aborted) return
      stopped.abort()
      if (err.isTTY) show('')
    },
  }
}
