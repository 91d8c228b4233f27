import type { AttemptEnd, Fault, TaskStatus } from '../../rules/lifecycle.js'
import type { Feed } from './feed.js'
import type { Named, Rates } from './rates.js'
import type { RecentAttempts } from './recent.js'
import type { TracedEnds } from './traced-ends.js'

/** A task, as much of it as is counted. */
export interface MeteredTask extends Named {
  task_id: string
  model_name: string
  infer_fee: number
  /** When it began to wait, service clock, ms. */
  queued_ms: number
  status: TaskStatus
  attempt: number
  inference_node_id: string | null
  /** Null: it is a part of no trace. */
  traceparent: string | null
}
/** An attempt, the same. Times: service clock, ms. */
export interface MeteredAttempt {
  task_id: string
  attempt: number
  node_id: string
  assigned_ms: number
  accepted_ms: number | null
}
/** What becomes of a task; see TaskChange of the store. */
export interface MeteredChange {
  to: TaskStatus
  attempt?: number
  node_id?: string
  again?: { queued_ms: number }
  error?: string
}

interface Facts extends MeteredTask {
  /** None before it was begun: when it is accepted the task has waited for so long. */
  isFirst: boolean
  /** Service clock, ms; null: it has said nothing yet that somebody reads. */
  firstWord: number | null
}

export interface MeterParts {
  rates: Rates
  feed: Feed
  recent: RecentAttempts
  tracedEnds: TracedEnds
  /** Service clock and wall clock of this turn, ms. */
  clock: { readonly now: number; readonly wall: number }
  /** Counts once the turn is durable. */
  later(count: () => void): void
  task(taskId: string): MeteredTask | undefined
  /** The `error` of a task that was cancelled. */
  cancelled: string
}

export type Meter = ReturnType<typeof createMeter>

/**
 * What the parts of the core say of tasks and attempts as they go, for the figures and the feed: counted after the commit, so that a
 * turn that is undone counts nothing. On a task's way it is three functions that are called later, and what they add.
 */
export function createMeter({ rates, feed, recent, tracedEnds, clock, later, task: read, cancelled }: MeterParts) {
  const facts = new WeakMap<object, Facts>()
  /** The end that is told with the change of status which follows from it. */
  let last: { task_id: string; attempt: number; node_id: string; end: AttemptEnd; fault: Fault | null } | null = null

  /** Also of an attempt that was given before the start, or has ended. */
  const factsOf = (attempt: MeteredAttempt): Facts | undefined => {
    const known = facts.get(attempt)
    if (known !== undefined) return known
    const task = read(attempt.task_id)
    if (task === undefined) return undefined
    const found = { ...task, isFirst: false, firstWord: null }
    facts.set(attempt, found)
    return found
  }

  const countStatus = (task: MeteredTask, change: MeteredChange): void => {
    const { wall, now } = clock
    const tally = rates.tallyOf(task)
    const { to } = change
    const counter = to === 'failed' && change.error === cancelled ? 'cancelled' : to
    if (counter !== 'completed' && counter !== 'failed' && counter !== 'timeout' && counter !== 'cancelled') return
    for (const t of [tally, rates.total]) t.count(counter, wall)
    tally.observeTask(now - task.queued_ms)
    if (task.traceparent !== null) tracedEnds.add({ task_id: task.task_id, ended_ms: now })
    if (counter !== 'completed') return
    for (const t of [tally, rates.total]) t.add('fees', task.infer_fee, wall)
  }
  const tell = (task: MeteredTask, change: MeteredChange): void => {
    if (!feed.isRead()) return
    const { to } = change
    const ended = last?.task_id === task.task_id && to !== 'in_progress' && to !== 'submitted' ? last : null
    last = null
    feed.push({
      event: 'task',
      data: {
        id: task.task_id,
        model: task.model_name,
        status: to,
        attempt: change.attempt ?? ended?.attempt ?? task.attempt,
        node: change.node_id ?? ended?.node_id ?? task.inference_node_id,
        end: ended?.end ?? null,
        fault: ended?.fault ?? null,
        ms: Math.max(0, clock.now - (change.again?.queued_ms ?? task.queued_ms)),
      },
    })
  }

  return {
    /** A task is stored. @param pending it waits; else it is given to a node at once */
    submitted(task: MeteredTask, pending: boolean): void {
      const { attempt, inference_node_id } = task
      later(() => {
        for (const t of [rates.tallyOf(task), rates.total]) t.count('submitted', clock.wall)
        if (pending) rates.waits(task, task.queued_ms, 1, clock.wall)
        else rates.runs(task, 1)
        if (pending) tell(task, { to: 'pending', attempt: 0 })
        else
          tell(task, {
            to: 'in_progress',
            attempt,
            ...(inference_node_id === null ? {} : { node_id: inference_node_id }),
          })
      })
    },

    /** A stored task has another status. @param task as it was */
    moved(task: MeteredTask, change: MeteredChange): void {
      const { status: from, queued_ms } = task
      const { to } = change
      later(() => {
        if (from === 'pending') rates.waits(task, queued_ms, -1, clock.wall)
        else if (from === 'in_progress') rates.runs(task, -1)
        if (to === 'pending') rates.waits(task, change.again?.queued_ms ?? queued_ms, 1, clock.wall)
        else if (to === 'in_progress') rates.runs(task, 1)
        if (from === 'in_progress' && to === 'pending')
          for (const t of [rates.tallyOf(task), rates.total]) t.count('requeued', clock.wall)
        countStatus(task, change)
        tell(task, change)
      })
    },

    /** An attempt begins. @param begunBefore whether one before it was begun */
    assigned(attempt: MeteredAttempt, task: MeteredTask, begunBefore: boolean): void {
      const { task_id, model_name, model_key, model_type, infer_fee, queued_ms, traceparent } = task
      facts.set(attempt, {
        task_id,
        model_name,
        model_key,
        model_type,
        infer_fee,
        queued_ms,
        status: 'in_progress',
        attempt: attempt.attempt,
        inference_node_id: attempt.node_id,
        traceparent,
        isFirst: !begunBefore,
        firstWord: null,
      })
    },

    /** A node works on it, from now on. */
    accepted(attempt: MeteredAttempt): void {
      const task = factsOf(attempt)
      if (task === undefined) return
      later(() => {
        const waited = clock.now - task.queued_ms
        for (const t of [rates.tallyOf(task), rates.total]) {
          t.count('started', clock.wall)
          if (task.isFirst) t.observe('wait', waited, clock.wall)
        }
      })
    },

    /** A piece of its text has come: a fact, which is counted at once. */
    spoke(attempt: MeteredAttempt): void {
      const task = factsOf(attempt)
      if (task === undefined || task.firstWord !== null) return
      task.firstWord = clock.now
      const ms = clock.now - (attempt.accepted_ms ?? clock.now)
      for (const t of [rates.tallyOf(task), rates.total]) t.observe('first_word', ms, clock.wall)
    },
    /** When its first piece came, service clock, ms; null: none has. */
    firstWordOf: (attempt: MeteredAttempt): number | null => facts.get(attempt)?.firstWord ?? null,

    /** An attempt has ended; also one that had ended before, and has brought the result all the same. */
    ended(
      attempt: MeteredAttempt,
      end: AttemptEnd,
      fault: Fault | null,
      usage: { prompt_tokens: number; completion_tokens: number } | null,
    ): void {
      const task = factsOf(attempt)
      if (task === undefined) return
      const { task_id, node_id, attempt: number, assigned_ms, accepted_ms } = attempt
      later(() => {
        const { now, wall } = clock
        rates.attemptEnded(task, end, fault, wall)
        const toWall = wall - now
        recent.add({
          node_id,
          task_id,
          attempt: number,
          model_name: task.model_name,
          assigned_ms: assigned_ms + toWall,
          accepted_ms: accepted_ms === null ? null : accepted_ms + toWall,
          first_word_ms: task.firstWord === null ? null : task.firstWord + toWall,
          ended_ms: wall,
          end,
          fault,
          completion_tokens: usage?.completion_tokens ?? null,
        })
        if (feed.isRead()) last = { task_id, attempt: number, node_id, end, fault }
        if (end !== 'completed') return
        for (const t of [rates.tallyOf(task), rates.total]) {
          t.observe('run', now - (accepted_ms ?? assigned_ms), wall)
          if (usage === null) continue
          t.add('prompt_tokens', usage.prompt_tokens, wall)
          t.add('completion_tokens', usage.completion_tokens, wall)
        }
      })
    },

    /** The task of an attempt that a node holds has its result. To be told after its end. */
    completed(attempt: MeteredAttempt): void {
      const task = factsOf(attempt)
      if (task === undefined) return
      this.moved(
        { ...task, status: 'in_progress' },
        { to: 'completed', attempt: attempt.attempt, node_id: attempt.node_id },
      )
    },
  }
}
