import type { Scheduler } from '../core/engine/scheduler.js'
import type { TracedEnd } from '../core/rates/traced-ends.js'
import type { TaskTrace } from '../core/watching/reports.js'
import type { Logger } from '../lib/log.js'
import { findTracing } from '../lib/tracing.js'
import { createTaskSpans } from './task-spans.js'

/** So many tasks may wait to be told: a few seconds of full load. */
const MAX_WAITING = 10_000
/** So many are read in a turn, which takes about 2 ms. */
const MAX_READ = 50
/** A stop waits no longer for what is still to be told, ms. */
const STOP_MS = 2000

export interface TracesParts extends Pick<Scheduler, 'call'> {
  log: Pick<Logger, 'info' | 'warn'>
}

/**
 * The service's part of the traces of those who submit. On the way of a task there is the `traceparent` that is stored with it, and
 * nothing else: once it has ended, what is stored of it is read and told to the tracer of the process, if there is one.
 */
export function createTraces({ call, log }: TracesParts) {
  let tell: ((trace: TaskTrace) => void) | null = null
  const waiting: TracedEnd[] = []
  let telling: Promise<void> | null = null
  let left = 0

  const leave = (count: number, why: string): void => {
    if (count === 0) return
    if (left === 0)
      log.warn({ event: 'traces.dropped', reason: why }, `a trace lacks what the service knows of a task: ${why}`)
    left += count
  }
  const tellSome = async (tellOne: (trace: TaskTrace) => void, ended: TracedEnd[]): Promise<void> => {
    const found = await call({ op: 'taskTraces', ended })
    if (!found.ok) return leave(ended.length, found.message)
    leave(ended.length - found.value.length, 'it was opened again, or deleted, at once')
    for (const trace of found.value) {
      try {
        tellOne(trace)
      } catch (error) {
        leave(1, `the tracer has failed: ${String(error)}`)
      }
    }
  }
  const tellAll = async (tellOne: (trace: TaskTrace) => void): Promise<void> => {
    while (waiting.length > 0) await tellSome(tellOne, waiting.splice(0, MAX_READ))
  }

  return {
    /** Looks whether there is a tracer. */
    async start(): Promise<void> {
      const tracing = await findTracing()
      if (tracing === null) return
      tell = createTaskSpans(tracing)
      log.info({ event: 'traces.on' }, 'tasks of traces are told to OpenTelemetry')
    },

    /** Tasks of traces have ended. */
    ended(ends: readonly TracedEnd[]): void {
      if (tell === null) return
      const taken = ends.slice(0, MAX_WAITING - waiting.length)
      leave(ends.length - taken.length, `${MAX_WAITING} others wait to be told`)
      waiting.push(...taken)
      telling ??= tellAll(tell).finally(() => (telling = null))
    },

    /** How many tasks of traces were left out of them. */
    left: (): number => left,

    /** Tells what is still to be told, for at most 2 s. */
    async stop(): Promise<void> {
      if (telling === null) return
      let timer: NodeJS.Timeout | undefined
      await Promise.race([telling, new Promise((resolve) => (timer = setTimeout(resolve, STOP_MS)))])
      clearTimeout(timer)
      tell = null
      leave(waiting.splice(0).length, 'the service stopped before')
    },
  }
}
