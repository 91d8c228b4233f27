import type { AddressKeys } from '../lib/address.js'
import { createBudget } from '../lib/budget.js'
import type { ClientRequest, ClientSubmission, TaskWatch } from '../wire/client.js'
import type { SubmissionStep } from '../chain/preparation.js'
import { done, refuse as refusal, type Outcome, type Refusal } from '../lib/result.js'
import type { Submission } from '../wire/rest.js'
import type { Guarded } from './guard.js'

const MIB = 1024 * 1024

/** The most watches of a session that are asked of the core at once: the answer to each may be as large as a result. */
const WATCHES_OF_SESSION = 8
/**
 * The most bytes of answers that are asked of the core at once, as far as those before them tell. All that is asked comes in one
 * turn, and is in memory three times before it is sent: as it was read, as JSON and as bytes.
 */
const ASKED_BYTES = { address: 8 * MIB, service: 32 * MIB }
/** What the answer to a watch counts as at least and at most, in bytes. */
const ANSWER_BYTES = { least: MIB / 2, most: 4 * MIB }
/** After so long without another one as large, half of it is expected, ms. Not by how many small ones come: those cost nothing. */
const HALF_EXPECTED_AFTER_MS = 5000
/** While more than this waits for the reader, watches wait too, bytes. */
const MAX_WAITING_BYTES = 1024 * 1024
/** While more requests wait than this, no more are read. */
const MAX_HELD = 256

/** How many submissions of a session are prepared together. */
const PREPARED_AT_ONCE = 64
const FAILED: Refusal = refusal('internal', 'the service could not check this submission')

export type WatchGate = ReturnType<typeof createWatchGate>

/**
 * How much all sessions have asked of the core by watches: few at once while their answers are large.
 * @param now ms, monotonic
 */
export function createWatchGate(now: () => number) {
  const budget = createBudget(ASKED_BYTES)
  /** The answer by which others are measured. Before the first one they are taken to be large. */
  let largest = { bytes: ANSWER_BYTES.most, at: now() }
  const expected = (): number => largest.bytes * 0.5 ** ((now() - largest.at) / HALF_EXPECTED_AFTER_MS)
  const waiting = new Set<() => void>()
  const tellAll = (): void => {
    const told = [...waiting]
    waiting.clear()
    for (const tell of told) tell()
  }
  return {
    /** @returns what the watch counts as until it is given back, in bytes; null while it has to wait */
    take(keys: AddressKeys): number | null {
      const bytes = Math.ceil(Math.min(Math.max(expected(), ANSWER_BYTES.least), ANSWER_BYTES.most))
      return budget.take(keys, bytes) === null ? bytes : null
    },
    give(keys: AddressKeys, bytes: number): void {
      budget.give(keys, bytes)
      if (bytes > 0 && waiting.size > 0) setImmediate(tellAll)
    },
    /** An answer of about so many bytes has come. */
    answered(bytes: number): void {
      if (bytes > expected()) largest = { bytes, at: now() }
    },
    /** @param waiter told once, when it may try again */
    wait: (waiter: () => void) => void waiting.add(waiter),
    leave: (waiter: () => void) => void waiting.delete(waiter),
    /** Lets all try again: what their readers have taken is seen by looking only. Call it about once a second. */
    tellAll,
  }
}

export interface RequestParts {
  keys: AddressKeys
  gate: WatchGate
  submit(list: ClientSubmission[]): void
  /** What is done with submissions before the core sees them; null: nothing. */
  prepare(): SubmissionStep | null
  /** A submission is refused by that, and goes no further. */
  refuse(ref: string, refusal: Refusal): void
  ask(request: ClientRequest): void
  /** Bytes that wait for the reader. */
  waiting(): number
  /** Whether too much waits for all readers of this address. */
  isCrowded(): boolean
  /** From here on no more is read, or more is again. */
  hold(held: boolean): void
  guarded: Guarded
}

/** What one watch asks for; the same again asks for nothing new. */
const textOf = ({ watch, attempt, offset }: TaskWatch): string => `${watch} ${attempt ?? 0} ${offset}`

/**
 * What a submitter asks, in its order, as fast as it reads the answers. A watch of a task that has ended is answered with its
 * result, so that a small frame may ask for gigabytes: few are asked of the core at once, and none while much is unread.
 */
export function createClientRequests({
  keys,
  gate,
  submit,
  prepare,
  refuse,
  ask,
  waiting,
  isCrowded,
  hold,
  guarded,
}: RequestParts) {
  let queue: (ClientSubmission | ClientRequest)[] = []
  let submissions = 0
  let held = false
  let ended = false
  /** The newest watch of each task that the core has not answered, as text. */
  const latest = new Map<string, string>()
  /** Tasks whose watch was asked of the core, which watch, and what it counts as. */
  const asked = new Map<string, { text: string; bytes: number }>()
  /** Submissions that the core has not answered, in order, and how each wants to watch its task. At most MAX_IN_FLIGHT. */
  const unanswered: { ref: string; taskId: string | null; watch: ClientSubmission['watch'] }[] = []
  /** Watches that a submission has asked for. */
  const implied = new WeakSet<ClientRequest>()
  /** What is asked of a task replaces what a submission before it has asked. */
  const replace = (taskId: string): void => {
    for (const submission of unanswered) if (submission.taskId === taskId) submission.watch = 'none'
  }

  /** Submissions in the queue that are not prepared yet: what comes while others are is prepared together. */
  const unprepared = new Set<ClientSubmission>()
  const next: ClientSubmission[] = []
  let isPreparing = false
  const prepareNext = (step: SubmissionStep): void => {
    const list = next.splice(0, PREPARED_AT_ONCE)
    if (list.length === 0 || ended) return
    isPreparing = true
    const settle = guarded((prepared: readonly Outcome<Submission>[]): void => {
      isPreparing = false
      if (ended) return
      const refused = new Set<unknown>()
      list.forEach((submission, i) => {
        const outcome = prepared[i] ?? FAILED
        unprepared.delete(submission)
        if (outcome.ok) submission.task = outcome.value
        else {
          refused.add(submission)
          submissions--
          refuse(submission.ref, outcome)
        }
      })
      if (refused.size > 0) queue = queue.filter((request) => !refused.has(request))
      prepareNext(step)
      advance()
    })
    step.take(list.map((submission) => done(submission.task))).then(settle, () => settle([]))
  }
  const prepareLater = (submission: ClientSubmission, step: SubmissionStep): void => {
    unprepared.add(submission)
    next.push(submission)
    // What comes with it in one frame is prepared with it.
    if (!isPreparing && next.length === 1) setImmediate(guarded(() => (isPreparing ? undefined : prepareNext(step))))
  }

  /** Whether a watch has its turn: then it is one of those that were asked. */
  const mayAsk = (watch: TaskWatch): boolean => {
    // One that asks for other text of the same task waits for the answer to the first.
    if (asked.has(watch.task_id) || asked.size >= WATCHES_OF_SESSION) return false
    if (waiting() > MAX_WAITING_BYTES || isCrowded()) return false
    const bytes = gate.take(keys)
    if (bytes === null) return false
    asked.set(watch.task_id, { text: textOf(watch), bytes })
    return true
  }

  const advance = guarded((): void => {
    if (ended || queue.length === 0) return
    let list: ClientSubmission[] = []
    const flush = (): void => {
      for (const { ref, watch, task } of list) unanswered.push({ ref, taskId: task.task_id, watch })
      if (list.length > 0) submit(list)
      submissions -= list.length
      list = []
    }
    let done = 0
    for (const request of queue) {
      if (request.type === 'task.watch' ? !mayAsk(request) : request.type === 'task.submit' && unprepared.has(request))
        break
      done++
      if (request.type === 'task.submit') list.push(request)
      else {
        flush() // what was asked first comes first
        if (!implied.has(request)) replace(request.task_id)
        ask(request)
      }
    }
    flush()
    queue = queue.slice(done)
    if (queue.length > 0) gate.wait(advance)
    if (held !== queue.length > MAX_HELD) {
      held = !held
      hold(held)
    }
  })

  function add(request: ClientSubmission | ClientRequest): void {
    if (request.type === 'task.submit') {
      submissions++
      const step = prepare()
      if (step?.concerns(request.task) === true) prepareLater(request, step)
    } else if (request.type === 'task.watch') {
      const text = textOf(request)
      if (latest.get(request.task_id) === text) return // it will be answered once
      latest.set(request.task_id, text)
    } else latest.delete(request.task_id)
    queue.push(request)
  }

  return {
    advance,
    isHeld: (): boolean => held,

    /** Submissions that wait for their answer, here and at the core. */
    unanswered: (): number => submissions + unanswered.length,

    /** Takes one request; `advance` passes it on. */
    add,

    /**
     * The core has answered a submission. Of a task that was known, and is not pending any more, all there is to tell is asked
     * for as by a watch: it may be as large.
     */
    submitted({ ref, status }: { ref?: string | undefined; status?: string }): void {
      const place = unanswered.findIndex((s) => s.ref === ref)
      const [submission] = place < 0 ? [] : unanswered.splice(place, 1)
      if (submission === undefined || status === undefined || status === 'pending') return
      const { taskId, watch } = submission
      if (watch === 'none' || taskId === null) return
      const request: TaskWatch = { type: 'task.watch', task_id: taskId, watch, attempt: null, offset: 0 }
      implied.add(request)
      add(request)
      setImmediate(advance)
    },

    /** The core has said something of a task. @param size about, in bytes */
    answered(taskId: string, size: number): void {
      const watch = asked.get(taskId)
      if (watch === undefined) return
      asked.delete(taskId)
      if (latest.get(taskId) === watch.text) latest.delete(taskId)
      gate.answered(size)
      gate.give(keys, watch.bytes)
    },

    end(): void {
      ended = true
      queue = []
      gate.leave(advance)
      for (const { bytes } of asked.values()) gate.give(keys, bytes)
      asked.clear()
    },
  }
}
