import type { Assignment, NodeMessage } from '../wire/node.js'
import type { Availability } from './availability.js'
import type { Emit, StopReason } from './events.js'
import { encode } from './frames.js'
import { servesModel } from './model-names.js'
import { createOutput } from './output.js'
import type { Channel, Results } from './results.js'
import { runWork } from './run-work.js'
import { attemptKey, failure, wireReason, type AttemptRef, type NodeTask, type Result, type Work } from './task.js'
import { after } from './timer.js'
import { BackendDown, tellError } from './work-error.js'

export interface AttemptsParts {
  work: Work
  slots: number
  /** At most one piece of partial output a task in so many ms. */
  outputInterval: number
  channel: Channel
  results: Results
  availability: Availability
  models(): readonly string[]
  /** Whether the node still takes tasks. */
  isDraining(): boolean
  /** Work was stopped and leaves no result. */
  onStopped(): void
  emit: Emit
}

interface Held {
  task: NodeTask
  abort: AbortController
  received: number
  cancelDeadline: () => void
  /** Takes back an accept that is to be said again. */
  cancelAccept: () => void
}

export type Attempts = ReturnType<typeof createAttempts>

/** Work that has not returned so long after it was told to stop no longer keeps its slot, ms. */
const ABORT_GRACE_MS = 10_000
/** When an accept could not be taken it is said again after so long, ms. */
const ACCEPT_AGAIN_MS = 1000
const nothing = (): void => undefined

/** The attempts a node works on. What they come to is handed to the results. */
export function createAttempts(parts: AttemptsParts) {
  const { slots, channel, results, availability, emit } = parts
  const held = new Map<string, Held>()
  /** Accepted, but a cancelled one still has the slot. */
  const waiting: Held[] = []
  /** Work functions that have not returned. */
  let working = 0
  const onIdle: (() => void)[] = []

  const say = (message: NodeMessage): void => channel.send(encode(message))

  /** Takes an attempt off the table; what its work still does no longer matters. */
  const release = (entry: Held): void => {
    entry.cancelDeadline()
    entry.cancelAccept()
    held.delete(attemptKey(entry.task))
    const place = waiting.indexOf(entry)
    if (place >= 0) waiting.splice(place, 1)
  }
  const isHeld = (entry: Held): boolean => held.get(attemptKey(entry.task)) === entry

  const stop = (entry: Held, reason: StopReason): void => {
    release(entry)
    entry.abort.abort(new Error(`stopped: ${reason}`))
    emit({ type: 'cancelled', task_id: entry.task.task_id, attempt: entry.task.attempt, reason })
    parts.onStopped()
  }

  const keep = (result: Result): void => {
    results.keep(result).catch((error: unknown) => {
      // It cannot even be written as a message: the task must not wait for its deadline.
      emit({ type: 'warning', message: `${attemptKey(result)}: ${tellError(error).message}` })
      if (result.type === 'task.complete') keep(failure(result, 'the output cannot be sent'))
    })
  }

  const finish = (entry: Held, result: Result, told?: string): void => {
    release(entry)
    const { task_id, attempt } = result
    // First: whoever hears of it may drain or stop the node, and must not find it empty-handed.
    keep(result)
    const seconds = (performance.now() - entry.received) / 1000
    if (result.type === 'task.complete')
      emit({ type: 'completed', task_id, attempt, characters: result.output.length, seconds })
    else emit({ type: 'failed', task_id, attempt, error: told ?? result.error, retryable: result.retryable, seconds })
  }

  const fail = (entry: Held, error: unknown): void => {
    const told = tellError(error)
    if (error instanceof BackendDown) availability.down(told.message)
    finish(entry, failure(entry.task, told.full, told.retryable), told.message)
  }

  const run = async (entry: Held): Promise<void> => {
    const output = createOutput(entry.task, channel, parts.outputInterval)
    const { task, abort } = entry
    abort.signal.addEventListener('abort', () => output.end(), { once: true })
    try {
      const result = await runWork({
        work: parts.work,
        task,
        signal: abort.signal,
        maxCharacters: channel.maxMessageBytes(),
        onText: (chunk) => output.push(chunk),
      })
      if (!isHeld(entry)) return
      availability.proven()
      finish(entry, result)
    } catch (error) {
      if (isHeld(entry)) fail(entry, error)
    } finally {
      output.end()
    }
  }

  const start = (entry: Held): void => {
    working++
    let counted = true
    const free = (): void => {
      if (!counted) return
      counted = false
      working--
      startWaiting()
      if (working === 0) for (const call of onIdle.splice(0)) call()
    }
    entry.abort.signal.addEventListener(
      'abort',
      () => {
        const cancel = after(ABORT_GRACE_MS, () => {
          emit({
            type: 'warning',
            message: `${attemptKey(entry.task)}: the work was told to stop and has not returned; its slot is used again`,
          })
          free()
        })
        ended.then(cancel, cancel)
      },
      { once: true },
    )
    // Not at once: work that stops its own node before its first await would find nothing here to wait for.
    const ended = Promise.resolve()
      .then(() => run(entry))
      .finally(free)
    ended.catch((error: unknown) => emit({ type: 'warning', message: tellError(error).message }))
  }
  function startWaiting(): void {
    while (working < slots) {
      const next = waiting.shift()
      if (next === undefined) return
      start(next)
    }
  }

  const refusal = (m: Assignment): string | null => {
    if (parts.isDraining()) return 'the node is draining'
    if (availability.status === 'maintenance') return "the node's backend is down"
    if (!servesModel(parts.models(), m.model_name, m.model_type))
      return `the node does not serve ${JSON.stringify(m.model_name)}`
    if (held.size >= slots) return `all ${slots} slots of the node are in use`
    if (results.full) return 'the node holds too many results that are not settled'
    return null
  }

  const take = (m: Assignment): void => {
    const { task_id, attempt, model_name, model_type, user_input, context, max_infer_time, infer_fee } = m
    const task: NodeTask = Object.freeze({
      task_id,
      attempt,
      model_name,
      model_type,
      user_input,
      context,
      max_infer_time,
      infer_fee,
    })
    const entry: Held = {
      task,
      abort: new AbortController(),
      received: performance.now(),
      cancelDeadline: nothing,
      cancelAccept: nothing,
    }
    entry.cancelDeadline = after(max_infer_time * 1000, () => {
      const error = new Error(`not done within max_infer_time, ${max_infer_time} s`)
      fail(entry, error)
      entry.abort.abort(error)
    })
    held.set(attemptKey(task), entry)
    waiting.push(entry)
    say({ type: 'task.accept', task_id, attempt })
    emit({ type: 'assigned', task_id, attempt, model_name, max_infer_time })
    startWaiting()
  }

  return {
    get size() {
      return held.size
    },
    list: (): AttemptRef[] => [...held.values()].map(({ task: { task_id, attempt } }) => ({ task_id, attempt })),

    assign(m: Assignment): void {
      const ref = { task_id: m.task_id, attempt: m.attempt }
      if (held.has(attemptKey(ref))) return say({ type: 'task.accept', ...ref })
      if (results.has(ref)) return results.again(ref)
      // A newer attempt of the same task: the older one is no longer this node's.
      for (const entry of [...held.values()]) {
        if (entry.task.task_id === m.task_id && entry.task.attempt < m.attempt) stop(entry, 'superseded')
      }
      const reason = refusal(m)
      if (reason === null) return take(m)
      say({ type: 'task.reject', ...ref, reason: wireReason(reason) })
      emit({ type: 'rejected', ...ref, reason })
    },

    /** Stops work on an attempt; false when there is none under way. A result that exists is not touched. */
    stop(ref: AttemptRef, reason: StopReason): boolean {
      const entry = held.get(attemptKey(ref))
      if (entry === undefined) return false
      stop(entry, reason)
      return true
    },
    /** Says again that an attempt is accepted, in a moment; false when there is none under way. */
    acceptAgain({ task_id, attempt }: AttemptRef): boolean {
      const entry = held.get(attemptKey({ task_id, attempt }))
      if (entry === undefined) return false
      entry.cancelAccept()
      entry.cancelAccept = after(ACCEPT_AGAIN_MS, () => say({ type: 'task.accept', task_id, attempt }))
      return true
    },
    stopAll(): void {
      for (const entry of [...held.values()]) stop(entry, 'stopped')
    },
    /** Resolves when no work function runs any more. */
    idle: (): Promise<void> => (working === 0 ? Promise.resolve() : new Promise((resolve) => onIdle.push(resolve))),
  }
}
