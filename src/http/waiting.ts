import type { Watchers } from '../door/watchers.js'
import { MAX_WAIT_SECONDS } from '../wire/rest.js'
import type { RouteContext } from './answers.js'
import { keepOpen } from './event-stream.js'
import type { Exchange } from './exchange.js'

/**
 * How long a caller wants to wait for the end of what he asks for, seconds: `?wait=N`, else `Prefer: wait=N`; null: he does not wait.
 * @param asked what the query says
 */
export function secondsToWait(c: RouteContext, asked: number | null | undefined): number | null {
  if (asked != null) return asked
  const preferred = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,9})"?/i.exec(c.req.header('prefer') ?? '')?.[1]
  return preferred === undefined ? null : Math.min(Number(preferred), MAX_WAIT_SECONDS)
}

/**
 * Waits until tasks have ended. Who hangs up is waited for no longer, and nothing else happens.
 * @returns those that have ended; what was refused of the others is found by who looks at them
 */
export function waitForEnd(
  exchange: Exchange,
  watchers: Watchers,
  taskIds: readonly string[],
  seconds: number,
): Promise<ReadonlySet<string>> {
  const ended = new Set<string>()
  const waiting = new Set(taskIds)
  if (waiting.size === 0 || seconds === 0) return Promise.resolve(ended)
  keepOpen(exchange)
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer)
      watcher.end()
      resolve(ended)
    }
    const timer = setTimeout(over, seconds * 1000)
    const watcher = watchers.open({
      by: exchange.by,
      keys: exchange.keys,
      on(message) {
        if (message.type !== 'task.result' && message.type !== 'error') return
        const { task_id } = message
        if (message.type === 'task.result') ended.add(message.task_id)
        if (task_id !== undefined) waiting.delete(task_id)
        if (waiting.size === 0) over()
      },
      onStop: over,
    })
    exchange.onEnd(over)
    for (const taskId of waiting) watcher.watch(taskId, 'result')
  })
}

/** What says that a wish to wait was heard, and all has ended in time. */
export const preferenceApplied = (seconds: number, isEnded: boolean): Record<string, string> =>
  isEnded ? { 'Preference-Applied': `wait=${seconds}` } : {}
