import { setTimeout as sleep } from 'node:timers/promises'
import type { CallbackReport, DueCallback } from '../core/callbacks/reports.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { Logger } from '../lib/log.js'
import { createWaker } from '../lib/waker.js'

/** How many are under way at once, and how many of them to one host: a slow one holds up its own only. */
const LIMITS = { all: 32, perHost: 4 }
/** What the texts of those may take together, bytes: one that is larger goes alone. */
const MAX_BYTES = 64 * 1024 * 1024
/** The longest pause, and the one after something has failed here, ms. */
const PAUSE_MS = { most: 60_000, failed: 1000 }

export interface CallbackRelayParts {
  call: Scheduler['call']
  /** Tries one. Null: there is nothing to tell of it. */
  deliver(due: DueCallback, cut: AbortSignal): Promise<CallbackReport | null>
  /** Told how a try has ended. */
  onEnd?: (outcome: CallbackReport['is']) => void
  log: Logger
}

/**
 * Sends what is due, and tells the core what came of it. All state is the core's: after a restart it goes on with what is due there,
 * so what was under way then is sent again.
 */
export function createCallbackRelay({ call, deliver, onEnd, log }: CallbackRelayParts) {
  const underWay = new Map<string, { due: DueCallback; ended: Promise<void> }>()
  /** Of tries that have ended, and that the core has not heard of: until then they are under way. */
  let reports: CallbackReport[] = []
  const cut = new AbortController()
  let running: Promise<void> | null = null
  let stopping = false
  const waker = createWaker()
  const { wake } = waker

  const send = (due: DueCallback): void => {
    const ended = deliver(due, cut.signal)
      .catch((error: unknown) => {
        log.error({ event: 'callback.error', task_id: due.task_id, err: error }, 'a callback could not be made')
        const { task_id, webhook_id } = due
        return { task_id, webhook_id, is: 'failed' as const, error: 'the service has failed to make it' }
      })
      .then((report) => {
        if (report !== null) onEnd?.(report.is)
        if (report === null) underWay.delete(due.task_id)
        else reports.push(report)
        wake()
      })
    underWay.set(due.task_id, { due, ended })
  }

  /** @returns whether the core has heard of it all */
  const tell = async (): Promise<boolean> => {
    const told = [...reports]
    if (told.length === 0) return true
    const answer = await call({ op: 'callbackReports', reports: told })
    if (!answer.ok) return false // it cannot be written now
    reports = reports.slice(told.length)
    for (const { task_id } of told) underWay.delete(task_id)
    return true
  }

  /** Sends what is due and has room. @returns ms until there is more; null when nothing waits for a time */
  const sendDue = async (): Promise<number | null> => {
    const there = [...underWay.values()].map(({ due }) => due)
    const limit = LIMITS.all - there.length
    if (limit <= 0) return null // the next that ends wakes us
    const answer = await call({
      op: 'callbacksDue',
      underWay: there.map(({ task_id, host }) => ({ task_id, host })),
      limit,
      perHost: LIMITS.perHost,
    })
    if (!answer.ok) return PAUSE_MS.failed
    let bytes = there.reduce((sum, due) => sum + due.bytes, 0)
    for (const due of answer.value.due) {
      // The first that does not fit is the next, or it would wait for ever behind short ones.
      if (underWay.size > 0 && bytes + due.bytes > MAX_BYTES) break
      bytes += due.bytes
      send(due)
    }
    return answer.value.nextIn
  }

  const run = async (): Promise<void> => {
    while (!stopping) {
      waker.calm()
      try {
        const isTold = await tell()
        const nextIn = await sendDue()
        if (isTold) await waker.pause(Math.min(PAUSE_MS.most, nextIn ?? Infinity))
        else {
          waker.calm()
          await waker.pause(PAUSE_MS.failed)
        }
      } catch (error) {
        log.error({ event: 'callbacks.failed', err: error }, 'a pass of the callbacks has failed; the next goes on')
        await sleep(PAUSE_MS.failed)
      }
    }
  }

  return {
    start(): void {
      running ??= run()
    },
    /** Something is due. */
    wake,
    /** Sends nothing more; what is under way gets so many ms. What the core was not told is sent again after the next start. */
    async stop(ms: number): Promise<void> {
      stopping = true
      waker.stop()
      await running
      const ends = Promise.all([...underWay.values()].map(({ ended }) => ended))
      const late = new AbortController()
      await Promise.race([ends, sleep(ms, undefined, { signal: late.signal }).catch(() => undefined)])
      late.abort()
      cut.abort()
      await ends
      await tell()
    },
  }
}
