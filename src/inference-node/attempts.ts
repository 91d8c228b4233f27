import type { Assignment, NodeMessage } from '../wire/node.js'
import { createTracedRun } from './attempt-span.js'
import type { Availability } from './availability.js'
import type { Emit, StopReason } from './events.js'
import { encode } from './frames.js'
import { modelFor, servesModel } from './model-names.js'
import { createOutput } from './output.js'
import type { Channel, Results } from './results.js'
import { createSlots, type Slotted } from './slots.js'
import { attemptKey, failure, wireReason, type AttemptRef, type NodeTask, type Result, type Work } from './task.js'
import { after } from '../lib/timer.js'
import { BackendDown, FeatureMissing, ModelMissing, tellError } from './work-error.js'

export interface AttemptsParts {
  work: Work
  slots: number
  /** How many it may hold beyond its slots. */
  prefetch(): number
  /** At most one piece of partial output a task in so many ms, while so many tasks are worked on. */
  outputInterval(running: number): number
  channel: Channel
  results: Results
  availability: Availability
  /** Whether the node still takes tasks. */
  isDraining(): boolean
  /** Work was stopped and leaves no result. */
  onStopped(): void
  emit: Emit
}

interface Held extends Slotted {
  task: NodeTask
  /** When it got its slot. */
  received: number
  isAccepted: boolean
  cancelDeadline: () => void
  /** Takes back an accept that is to be said. */
  cancelAccept: () => void
}

export type Attempts = ReturnType<typeof createAttempts>

/** When an accept could not be taken it is said again after so long, ms. */
const ACCEPT_AGAIN_MS = 1000
/** How long work may show that its model is missing before its task is accepted, ms: until then it can be rejected, which costs no attempt. */
const ACCEPT_AFTER_MS = 250
/** Of the time that the coordinator gives for the accept no more than this part is used. */
const ACCEPT_SHARE = 0.25
const nothing = (): void => undefined

/** The attempts a node works on. What they come to is handed to the results. */
export function createAttempts(parts: AttemptsParts) {
  const { channel, results, availability, emit } = parts
  const runTraced = createTracedRun()
  const held = new Map<string, Held>()
  let acceptAfter = ACCEPT_AFTER_MS
  const slots = createSlots<Held>({
    slots: parts.slots,
    onClaim: (entry) => claim(entry),
    run: (entry) => run(entry),
    onOverdue: ({ task }) =>
      emit({
        type: 'warning',
        message: `${attemptKey(task)}: the work was told to stop and has not returned; its slot is used again`,
      }),
    onError: (error) => emit({ type: 'warning', message: tellError(error).message }),
  })

  const say = (message: NodeMessage): void => channel.send(encode(message))

  /** Takes an attempt off the table; what its work still does no longer matters. */
  const release = (entry: Held): void => {
    entry.cancelDeadline()
    entry.cancelAccept()
    held.delete(attemptKey(entry.task))
    slots.leave(entry)
  }
  const isHeld = (entry: Held): boolean => held.get(attemptKey(entry.task)) === entry

  const stop = (entry: Held, reason: StopReason): void => {
    release(entry)
    entry.abort.abort(new Error(`stopped: ${reason}`))
    emit({ type: 'cancelled', task_id: entry.task.task_id, attempt: entry.task.attempt, reason })
    parts.onStopped()
  }

  const accept = (entry: Held): void => {
    if (entry.isAccepted) return
    entry.isAccepted = true
    entry.cancelAccept()
    const { task_id, attempt } = entry.task
    say({ type: 'task.accept', task_id, attempt })
  }
  const reject = (ref: AttemptRef, reason: string): void => {
    const { task_id, attempt } = ref
    say({ type: 'task.reject', task_id, attempt, reason: wireReason(reason) })
    emit({ type: 'rejected', task_id, attempt, reason })
  }

  const keep = (result: Result): void => {
    results.keep(result).catch((error: unknown) => {
      // It cannot even be written as a message: the task must not wait for its deadline.
      emit({ type: 'warning', message: `${attemptKey(result)}: ${tellError(error).message}` })
      if (result.type === 'task.complete') keep(failure(result, 'the output cannot be sent'))
    })
  }

  const finish = (entry: Held, result: Result, told?: string): void => {
    accept(entry)
    release(entry)
    const { task_id, attempt } = result
    // First: whoever hears of it may drain or stop the node, and must not find it empty-handed.
    keep(result)
    const seconds = (performance.now() - entry.received) / 1000
    if (result.type === 'task.complete')
      emit({
        type: 'completed',
        task_id,
        attempt,
        characters: result.output.length,
        completion_tokens: result.usage?.completion_tokens ?? null,
        seconds,
      })
    else emit({ type: 'failed', task_id, attempt, error: told ?? result.error, retryable: result.retryable, seconds })
  }

  const fail = (entry: Held, error: unknown): void => {
    const told = tellError(error)
    if (error instanceof BackendDown) availability.down(told.message)
    if (error instanceof FeatureMissing) availability.lookAgain()
    if (error instanceof ModelMissing) {
      availability.withdraw(entry.task.own_model, told.message)
      if (!entry.isAccepted) {
        release(entry)
        reject(entry.task, told.message)
        return parts.onStopped()
      }
    }
    finish(entry, failure(entry.task, told.full, told), told.message)
  }

  /** It has a slot from now on: its time runs. */
  const claim = (entry: Held): void => {
    const { max_infer_time } = entry.task
    entry.received = performance.now()
    entry.cancelDeadline = after(max_infer_time * 1000, () => {
      const error = new Error(`not done within max_infer_time, ${max_infer_time} s`)
      fail(entry, error)
      entry.abort.abort(error)
    })
    entry.cancelAccept = after(acceptAfter, () => accept(entry))
  }
  const run = async (entry: Held): Promise<void> => {
    const output = createOutput(entry.task, channel, () => parts.outputInterval(held.size))
    const { task, abort } = entry
    abort.signal.addEventListener('abort', () => output.end(), { once: true })
    try {
      const result = await runTraced({
        work: parts.work,
        task,
        signal: abort.signal,
        maxCharacters: channel.maxMessageBytes(),
        onText(chunk, kind) {
          accept(entry)
          output.push(chunk, kind)
        },
      })
      if (!isHeld(entry)) return
      availability.proven(task.own_model)
      finish(entry, result)
    } catch (error) {
      if (isHeld(entry)) fail(entry, error)
    } finally {
      output.end()
    }
  }

  const refusal = (m: Assignment): string | null => {
    if (parts.isDraining()) return 'the node is draining'
    if (availability.state.status === 'maintenance') return `the node's backend is down: ${availability.state.reason}`
    if (!servesModel(availability.offered, m.model_name, m.model_type))
      return `the node does not serve ${JSON.stringify(m.model_name)}`
    const lacking = availability.lacking(m.params)
    if (lacking.length > 0) return `the node does not understand ${lacking.join(' and ')}`
    if (held.size >= parts.slots + parts.prefetch()) return `all ${parts.slots} slots of the node are in use`
    if (results.full) return 'the node holds too many results that are not settled'
    return null
  }

  const take = (m: Assignment): void => {
    const { task_id, attempt, model_name, model_type, user_input, context, max_infer_time, infer_fee, params } = m
    const task: NodeTask = Object.freeze({
      task_id,
      attempt,
      model_name,
      model_type,
      own_model: modelFor(availability.offered, model_name, model_type) ?? model_name,
      user_input,
      context,
      max_infer_time,
      infer_fee,
      params: params ?? undefined,
      traceparent: m.traceparent ?? undefined,
    })
    const entry: Held = {
      task,
      abort: new AbortController(),
      received: performance.now(),
      isAccepted: false,
      priority: m.priority ?? 0,
      cancelDeadline: nothing,
      cancelAccept: nothing,
    }
    held.set(attemptKey(task), entry)
    emit({ type: 'assigned', task_id, attempt, model_name, max_infer_time })
    slots.add(entry)
  }

  return {
    get size() {
      return held.size
    },
    /** What it works on. */
    list: (): AttemptRef[] =>
      [...held.values()]
        .filter((entry) => slots.has(entry))
        .map(({ task: { task_id, attempt } }) => ({ task_id, attempt })),

    assign(m: Assignment): void {
      const ref = { task_id: m.task_id, attempt: m.attempt }
      const known = held.get(attemptKey(ref))
      if (known !== undefined) {
        if (!slots.has(known)) return
        known.isAccepted = false // it may not have been heard
        return accept(known)
      }
      if (results.has(ref)) return results.again(ref)
      // A newer attempt of the same task: the older one is no longer this node's.
      for (const entry of [...held.values()]) {
        if (entry.task.task_id === m.task_id && entry.task.attempt < m.attempt) stop(entry, 'superseded')
      }
      const reason = refusal(m)
      if (reason === null) take(m)
      else reject(ref, reason)
    },

    /** Stops work on an attempt; false when there is none under way. A result that exists is not touched. */
    stop(ref: AttemptRef, reason: StopReason): boolean {
      const entry = held.get(attemptKey(ref))
      if (entry === undefined) return false
      stop(entry, reason)
      return true
    },
    /** The coordinator gives so long for an accept, ms. */
    acceptWithin(ms: number): void {
      acceptAfter = Math.min(ACCEPT_AFTER_MS, ms * ACCEPT_SHARE)
    },
    /** The coordinator takes it for accepted: a hello has named it. */
    resumed(ref: AttemptRef): void {
      const entry = held.get(attemptKey(ref))
      if (entry === undefined) return
      entry.isAccepted = true
      entry.cancelAccept()
    },
    /** Says again that an attempt is accepted, in a moment; false when there is none under way. */
    acceptAgain({ task_id, attempt }: AttemptRef): boolean {
      const entry = held.get(attemptKey({ task_id, attempt }))
      if (entry === undefined) return false
      entry.cancelAccept()
      entry.cancelAccept = after(ACCEPT_AGAIN_MS, () => say({ type: 'task.accept', task_id, attempt }))
      return true
    },
    /** Gives back what waits for a slot. */
    giveBack(reason: string): void {
      for (const entry of slots.takeBeyond()) {
        release(entry)
        reject(entry.task, reason)
      }
    },
    /** Forgets what waits for a slot: the session has ended, and the coordinator gives it to others. */
    forget(): void {
      for (const entry of slots.takeBeyond()) stop(entry, 'dropped')
    },
    stopAll(): void {
      for (const entry of [...slots.takeBeyond(), ...held.values()]) if (isHeld(entry)) stop(entry, 'stopped')
    },
    /** Resolves when no work function runs any more. */
    idle: slots.idle,
  }
}
