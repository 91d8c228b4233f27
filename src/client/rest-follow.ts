import { jitteredWait, RECONNECT } from '../lib/backoff.js'
import { pause } from '../lib/timer.js'
import { parseClientServerMessage } from '../wire/client-answers.js'
import { submittedView, taskStatusView } from '../wire/task-answers.js'
import type { TaskEvent } from '../wire/task-events.js'
import type { Ask, Stored } from './asks.js'
import { asError, InferenceError, wasClosed } from './errors.js'
import { eventOf } from './follower.js'
import { isLater, pathOf, type Rest } from './rest.js'
import { createEventParser } from './sse.js'

/** How long the service is asked to wait for the end of a task before it answers: proxies cut what takes longer than a minute, seconds. */
const WAIT_SECONDS = 25
/** The service says something every 15 s: a stream that has been silent for longer than this is not there any more, ms. */
const SILENCE_MS = 45_000

export type RestFollow = ReturnType<typeof createRestFollow>

/** What is asked where no session is to be had: by REST, and words by server-sent events. */
export function createRestFollow(rest: Rest, patience: number) {
  /** Each ask that goes on, with what ends it. */
  const going = new Map<Ask, AbortController>()
  const closed = new AbortController()
  const whenDone: (() => void)[] = []

  const submit = async ({ submission, taskId }: Ask): Promise<Stored> => {
    const body = JSON.stringify({ ...submission, task_id: taskId })
    const answer = await rest.call('/api/v1/tasks/submit', { method: 'POST', body, patience, signal: closed.signal })
    const { task_id, warnings } = rest.parse(submittedView, answer)
    return { task_id, warnings }
  }
  const cancel = async (taskId: string): Promise<void> => {
    try {
      await rest.call(`${pathOf(taskId)}/cancel`, { method: 'POST', patience, signal: closed.signal })
    } catch {
      // It has ended, or is not to be had for so long that nobody can tell.
    }
  }

  /** How a task stands, once it has ended or `WAIT_SECONDS` are over; null where it goes on. */
  const resultOf = async (ask: Ask, signal: AbortSignal): Promise<TaskEvent | null> => {
    const path = `${pathOf(ask.taskId)}/status?wait=${WAIT_SECONDS}`
    const timeout = (WAIT_SECONDS + 15) * 1000
    const view = rest.parse(taskStatusView, await rest.call(path, { signal, timeout, patience }))
    const { task_id, status, error, code, result, attempts } = view
    if (status === 'pending' || status === 'in_progress') {
      ask.onEvent({ event: 'status', task_id, status, attempt: attempts })
      return null
    }
    return {
      event: 'result',
      task_id,
      status,
      error,
      ...(code === undefined ? {} : { code }),
      ...(attempts === 0 ? {} : { attempt: attempts }),
      result: result === null ? null : { ...result, output: result.output ?? '' },
    }
  }
  const followResult = async (ask: Ask, signal: AbortSignal): Promise<void> => {
    for (;;) {
      const result = await resultOf(ask, signal)
      if (result !== null) return ask.onEvent(result)
    }
  }

  /** One stream, until it ends. @returns whether the result has come */
  const readStream = async (ask: Ask, body: ReadableStream<Uint8Array>, onHeard: () => void): Promise<boolean> => {
    const parse = createEventParser()
    const decoder = new TextDecoder()
    const reader = body.getReader()
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return false
      onHeard()
      for (const { event, data } of parse(decoder.decode(value, { stream: true }))) {
        // Each is what a session says. That a new attempt begins follows from the others.
        const parsed = parseClientServerMessage({ ...(JSON.parse(data) as object), type: `task.${event}` })
        if (!parsed.ok) continue // newer events are for newer clients
        const { message } = parsed
        if (message.type !== 'task.status' && message.type !== 'task.output' && message.type !== 'task.result') continue
        ask.onEvent(eventOf(message))
        if (message.type === 'task.result') return true
      }
    }
  }
  const followText = async (ask: Ask, signal: AbortSignal): Promise<void> => {
    let lastThere = performance.now()
    for (let failures = 0; ; failures++) {
      const { attempt, offset } = ask.place()
      const one = new AbortController()
      const end = (): void => one.abort(signal.reason)
      signal.addEventListener('abort', end)
      let silence: ReturnType<typeof setTimeout> | undefined
      const heard = (): void => {
        clearTimeout(silence)
        silence = setTimeout(() => one.abort(), SILENCE_MS)
        lastThere = performance.now()
        failures = 0
      }
      try {
        const headers = {
          accept: 'text/event-stream',
          ...(attempt === 0 ? {} : { 'last-event-id': `${attempt}.${offset}` }),
        }
        const body = await rest.open(`${pathOf(ask.taskId)}/events`, { headers, signal: one.signal })
        if (body === null) return await followResult(ask, signal) // it has ended, and we know all of its text
        heard()
        if (await readStream(ask, body, heard)) return
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof InferenceError && !isLost(error)) throw error
        if (performance.now() - lastThere > patience) throw asError(error, ask.taskId)
      } finally {
        clearTimeout(silence)
        signal.removeEventListener('abort', end)
        one.abort()
      }
      await pause(jitteredWait(RECONNECT, failures), signal)
      signal.throwIfAborted()
    }
  }

  const follow = async (ask: Ask, signal: AbortSignal): Promise<void> => {
    try {
      if (ask.submission !== null && ask.stage !== 'stored') {
        ask.stage = 'sent'
        const stored = await submit(ask)
        ask.stage = 'stored'
        if (!ask.isGivenUp) ask.onStored(stored)
      }
      if (!signal.aborted && ask.watch === 'result') await followResult(ask, signal)
      if (!signal.aborted && ask.watch === 'output') await followText(ask, signal)
    } catch (error) {
      if (going.has(ask) && !ask.isGivenUp) ask.onError(asError(error, ask.taskId))
    }
    if (ask.isGivenUp && ask.stage === 'stored') await cancel(ask.taskId)
  }

  return {
    submit,
    add(ask: Ask): void {
      const own = new AbortController()
      going.set(ask, own)
      if (ask.isGivenUp) own.abort()
      void follow(ask, own.signal).finally(() => {
        going.delete(ask)
        if (going.size === 0) for (const done of whenDone.splice(0)) done()
      })
    },
    /** Nobody wants its answer any more. @param cancels whether its task is to be cancelled */
    giveUp(ask: Ask, cancels: boolean): void {
      ask.isGivenUp = cancels
      going.get(ask)?.abort()
      if (!cancels) going.delete(ask)
    },
    /** Ends all of it, once what was given up is cancelled, or after `grace` ms. */
    async close(grace: number): Promise<void> {
      for (const [ask, own] of going) {
        if (ask.isGivenUp) continue
        ask.onError(wasClosed(ask.taskId))
        going.delete(ask)
        own.abort()
      }
      if (going.size > 0)
        await Promise.race([new Promise<void>((done) => whenDone.push(done)), pause(grace, closed.signal)])
      closed.abort(wasClosed(null))
    },
  }
}

/** Whether nothing was heard, or what was heard means that it may be tried again. */
const isLost = ({ code }: InferenceError): boolean => code === 'unreachable' || isLater(code)
