import { jitteredWait, RECONNECT } from '../lib/backoff.js'
import { pause } from '../lib/timer.js'
import type { ClientAnswer } from '../wire/client-answers.js'
import { closeCodes } from '../wire/codes.js'
import type { Ask, Stored } from './asks.js'
import { asError, InferenceError, wasClosed } from './errors.js'
import { eventOf } from './follower.js'
import { hasLasted, planReconnect } from './reconnect.js'
import { isLater, type Token } from './rest.js'
import { openSession, type Session, type SessionEnd } from './session.js'

/** A session in which nothing waits is ended after this, ms: it would keep a program from its end. */
const IDLE_MS = 5000
/** How often a submission or a watch is tried again that the service cannot take now. */
const MAX_REFUSALS = 6
/** Submissions that are larger as JSON, in UTF-16 units, go over REST: a session ends with a message that is too large for it. */
const LARGE_UNITS = 64 * 1024
/** So often no session is opened while REST answers, before that counts as blocked: the service may just have come back. */
const BLOCKED_TRIES = 2

export interface LineParts {
  /** Of the sessions of the service that is asked now. */
  url(): string
  token: Token
  /** For how long a lost service is tried again, ms. */
  patience: number
  /** Stores the task of an ask another way. */
  submit(ask: Ask): Promise<Stored>
  /** A session can be asked. */
  onReady(): void
  /** A session is to go on at this URL. @returns whether that is another one that is known */
  leadsAway(url: string | undefined): boolean
  /** Whether the service answers over REST. `next`: it does not, and another one is to be tried at once. */
  isThere(): Promise<boolean | 'next'>
  /** No session is to be had, though the service is there: these have to go another way. */
  onBlocked(asks: Ask[]): void
}

export type Line = ReturnType<typeof createLine>

/** What is asked in task sessions: one after the other, for as long as something waits for its answer. */
export function createLine({ url, token, patience, submit, onReady, leadsAway, isThere, onBlocked }: LineParts) {
  const asks = new Set<Ask>()
  const byTask = new Map<string, Set<Ask>>()
  /** Submissions without an answer, by their `ref`, and those that wait for one of them to have it. */
  const unanswered = new Map<string, Ask>()
  const held = new Set<Ask>()
  /** Submissions that are on their way over REST. */
  const overRest = new Set<Ask>()
  const closed = new AbortController()
  const whenDone: (() => void)[] = []
  let session: Session | null = null
  /** How many submissions may be unanswered; null: nothing can be asked now. */
  let maxInFlight: number | null = null
  let isDraining = false
  let isRunning = false
  let refs = 0
  let idle: ReturnType<typeof setTimeout> | undefined

  const about = (taskId: string): Ask[] => [...(byTask.get(taskId) ?? [])]
  const drop = (ask: Ask): void => {
    const same = byTask.get(ask.taskId)
    same?.delete(ask)
    if (same?.size === 0) byTask.delete(ask.taskId)
    asks.delete(ask)
    held.delete(ask)
    if (asks.size > 0) return
    for (const done of whenDone.splice(0)) done()
    idle = setTimeout(() => session?.leave(), IDLE_MS)
  }
  const fail = (ask: Ask, error: InferenceError): void => {
    drop(ask)
    if (!ask.isGivenUp) ask.onError(error)
  }
  const failAll = (code: string, message: string): void => {
    for (const ask of [...asks]) fail(ask, new InferenceError(code, message, ask.taskId))
  }

  /** What of a task is watched: the most that one of those who ask wants, from the place of the one who has least. */
  const watchOf = (taskId: string) => {
    const all = about(taskId).filter((ask) => ask.watch !== 'none' && !ask.isGivenUp)
    const text = all.filter((ask) => ask.watch === 'output').map((ask) => ask.place())
    if (text.length === 0) return all.length === 0 ? null : { watch: 'result' as const }
    const place = text.reduce((a, b) =>
      b.attempt < a.attempt || (b.attempt === a.attempt && b.offset < a.offset) ? b : a,
    )
    return { watch: 'output' as const, ...(place.attempt === 0 ? {} : place) }
  }
  const say = (message: object): void => session?.say(message)

  const sendSubmission = (ask: Ask, submission: object): void => {
    if (maxInFlight === null || isDraining || unanswered.size >= maxInFlight) return void held.add(ask)
    const ref = String(++refs)
    unanswered.set(ref, ask)
    ask.stage = 'sent'
    const watch = ask.watch === 'none' ? null : watchOf(ask.taskId)
    say({ ...submission, type: 'task.submit', ref, task_id: ask.taskId, watch: watch?.watch ?? 'none' })
  }
  const sendOverRest = (ask: Ask): void => {
    if (overRest.has(ask)) return
    overRest.add(ask)
    ask.stage = 'sent'
    submit(ask)
      .then((stored) => onStored(ask, stored, true))
      .catch((error: unknown) => fail(ask, asError(error, ask.taskId)))
      .finally(() => overRest.delete(ask))
  }
  /** Says in this session what is wanted now. */
  const send = (ask: Ask): void => {
    const { submission, taskId: task_id, stage, isGivenUp } = ask
    if (maxInFlight === null) return
    if (submission !== null && stage !== 'stored') {
      if (overRest.has(ask) || JSON.stringify(submission).length > LARGE_UNITS) sendOverRest(ask)
      else sendSubmission(ask, submission)
    } else if (isGivenUp) say({ type: 'task.cancel', task_id })
    else say({ type: 'task.watch', task_id, ...watchOf(task_id) })
  }
  /** @param isElsewhere the session knows nothing of it */
  const onStored = (ask: Ask, stored: Stored, isElsewhere: boolean): void => {
    if (!asks.has(ask)) return
    ask.stage = 'stored'
    if (!ask.isGivenUp) ask.onStored(stored)
    if (!ask.isGivenUp && ask.watch === 'none') drop(ask)
    else if (ask.isGivenUp || isElsewhere) send(ask)
  }

  /** The service cannot do it now, or not at all. */
  const refuse = (ask: Ask, code: string, message: string): void => {
    if (!isLater(code) || ++ask.refusals >= MAX_REFUSALS)
      return fail(ask, new InferenceError(code, message, ask.taskId))
    const refusedBy = session
    void pause(jitteredWait(RECONNECT, ask.refusals), closed.signal).then(() => {
      // In another session all has been asked again.
      if (asks.has(ask) && session === refusedBy) send(ask)
    })
  }

  const onAnswer = (answer: ClientAnswer): void => {
    if (answer.type === 'task.submitted' || (answer.type === 'error' && answer.ref !== undefined)) {
      const ref = answer.ref ?? ''
      const ask = unanswered.get(ref)
      unanswered.delete(ref)
      if (ask !== undefined) {
        if (answer.type === 'error') refuse(ask, answer.code, answer.message)
        else {
          onStored(ask, answer, false)
          // Of a task that is new nothing more is said until something happens.
          const { task_id, status } = answer
          if (status === 'pending' && asks.has(ask) && !ask.isGivenUp)
            ask.onEvent({ event: 'status', task_id, status, attempt: 0 })
        }
      }
      const [next] = held
      if (next === undefined || maxInFlight === null) return
      held.delete(next)
      return send(next)
    }
    if (answer.type === 'error') {
      const concerned = answer.task_id === undefined ? [] : about(answer.task_id)
      const givenUp = concerned.filter((ask) => ask.isGivenUp && ask.stage === 'stored')
      if (givenUp.length > 0 && !isLater(answer.code)) return givenUp.forEach(drop) // it has ended, or was never there
      const watching =
        givenUp.length > 0 ? givenUp : concerned.filter((a) => a.submission === null || a.stage === 'stored')
      for (const ask of watching) refuse(ask, answer.code, answer.message)
      return
    }
    for (const ask of about(answer.task_id)) {
      if (ask.submission !== null && ask.stage !== 'stored') continue
      if (answer.type === 'task.result') drop(ask)
      if (!ask.isGivenUp && ask.watch !== 'none') ask.onEvent(eventOf(answer))
    }
  }

  const hold = async (): Promise<SessionEnd> => {
    isDraining = false
    session = openSession({
      url: url(),
      token,
      onReady(most) {
        onReady()
        maxInFlight = most
        for (const ask of asks) send(ask)
      },
      onAnswer,
      onDrain(reason, to) {
        isDraining = true
        // With another token the next session goes on at once; and elsewhere.
        if (leadsAway(to) || (reason === 'token_expires' && typeof token === 'function')) session?.leave()
      },
      onQuiet() {
        const ask = [...asks].find((a) => a.stage === 'stored' || a.submission === null)
        if (ask !== undefined) send(ask)
        return asks.size > 0
      },
    })
    const end = await session.ended
    session = null
    maxInFlight = null
    unanswered.clear()
    held.clear()
    return end
  }
  /** What was sent last may have been too large for the session: REST takes more, and says of each whether it does. */
  const submitAll = (): void => {
    for (const ask of asks) if (ask.submission !== null && ask.stage === 'sent') sendOverRest(ask)
  }

  /** Sessions, one after the other, for as long as something waits. */
  const run = async (): Promise<void> => {
    let failures = 0
    let blocked = 0
    let lastThere = performance.now()
    while (asks.size > 0 && !closed.signal.aborted) {
      const end = await hold()
      if (closed.signal.aborted) return
      if (end.ready) {
        lastThere = performance.now()
        blocked = 0
        if (hasLasted(end)) failures = 0
      }
      if (asks.size === 0) return
      const isTooLarge = end.code === closeCodes.tooLarge.code && [...asks].some((ask) => ask.stage === 'sent')
      if (isTooLarge) submitAll()
      const plan = isTooLarge
        ? { wait: jitteredWait(RECONNECT, failures++) }
        : planReconnect(end, failures++, typeof token === 'function')
      if ('code' in plan) return failAll(plan.code, plan.message)
      let found: boolean | 'next' = false
      if (!end.ready) {
        found = await isThere()
        blocked = found === true ? blocked + 1 : 0
        if (blocked >= (end.swallowed ? 1 : BLOCKED_TRIES)) return giveAway()
        if (blocked > 0) lastThere = performance.now()
      }
      if (performance.now() - lastThere > patience)
        return failAll(
          'unreachable',
          `the service has not been reached for ${Math.round(patience / 1000)} s (${end.reason}); what it has stored goes on`,
        )
      if (found !== 'next') await pause(plan.wait, closed.signal)
    }
  }
  const giveAway = (): void => {
    const all = [...asks]
    for (const ask of all) drop(ask)
    onBlocked(all)
  }
  const start = (): void => {
    if (isRunning) return
    isRunning = true
    void run().finally(() => {
      isRunning = false
      clearTimeout(idle)
      if (asks.size > 0 && !closed.signal.aborted) start()
    })
  }

  return {
    add(ask: Ask): void {
      clearTimeout(idle)
      asks.add(ask)
      const same = byTask.get(ask.taskId)
      if (same === undefined) byTask.set(ask.taskId, new Set([ask]))
      else same.add(ask)
      if (maxInFlight !== null) send(ask)
      else start()
    },
    /** Nobody wants its answer any more. @param cancel whether its task is to be cancelled */
    giveUp(ask: Ask, cancel: boolean): void {
      if (!asks.has(ask)) return
      const isThere = ask.submission === null || ask.stage === 'stored'
      if (cancel && ask.stage !== 'unsent') {
        ask.isGivenUp = true
        return isThere ? send(ask) : undefined
      }
      drop(ask)
      if (!isThere || maxInFlight === null) return
      const rest = watchOf(ask.taskId)
      say({ type: rest === null ? 'task.unwatch' : 'task.watch', task_id: ask.taskId, ...rest })
    },
    /** Ends all of it, once what was given up is cancelled, or after `grace` ms. */
    async close(grace: number): Promise<void> {
      for (const ask of [...asks]) if (!ask.isGivenUp) fail(ask, wasClosed(ask.taskId))
      if (asks.size > 0)
        await Promise.race([new Promise<void>((done) => whenDone.push(done)), pause(grace, closed.signal)])
      clearTimeout(idle)
      closed.abort(wasClosed(null))
      session?.leave()
    },
  }
}
