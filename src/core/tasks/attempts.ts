import { toSeconds } from '../../lib/clock.js'
import { type AttemptEnd, type Fault } from '../../rules/lifecycle.js'
import type { AttemptHead, OpenAttempt } from '../../store/attempts.js'
import { isStoreFault } from '../../store/faults.js'
import type { AttemptRow } from '../../store/attempt-schema.js'
import type { TaskRow } from '../../store/schema.js'
import type { NewTask, ReadyTask, TaskHead } from '../../store/tasks.js'
import type { Probation } from '../access/probation.js'
import type { Vigilance } from '../access/vigilance.js'
import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { Aftermath, AttemptFailure } from './aftermath.js'
import type { DrainRates } from './drain-rates.js'
import type { Pending } from './pending.js'
import { createResultKeys } from './result-keys.js'
import type { Transitions } from './transitions.js'

export type Usage = { prompt_tokens: number; completion_tokens: number } | null
type Open = Readonly<OpenAttempt>

/** What a node brings. */
export interface NewResult {
  output: string
  confidence: number
  usage: Usage
  /** JSON of what it says besides, see result-notes; null: nothing. */
  notes: string | null
  /** By the node's key, verified: 64 bytes compact with a low s, hex. Null where it has signed nothing. */
  signature: string | null
}

export interface AttemptParts {
  pending: Pending
  transitions: Transitions
  aftermath: Aftermath
  probation: Probation
  vigilance: Vigilance
  drainRates: DrainRates
}

/** What the log says where the file had an attempt as ended that was open. */
const REPLACED = 'the file had it as ended'

export type Attempts = ReturnType<typeof createAttempts>

/**
 * The life of an attempt, all of it: assigned, accepted, and its end. Every function runs inside the turn's transaction; what comes from
 * a node names its attempt, and one that does not count is a named result.
 */
export function createAttempts(
  ctx: Context,
  { pending, transitions, aftermath, probation, vigilance, drainRates }: AttemptParts,
) {
  const { store, registry } = ctx
  const resultKeys = createResultKeys(ctx)

  /** Accepted in this turn, which is not written yet: most of what ends in the same turn is then written once. */
  const unwrittenAccepts = new Map<Open, { isLeaseLonger: boolean }>()
  ctx.undo.onRollback(() => unwrittenAccepts.clear())

  const inconsistent = ({ task_id, attempt }: Pick<Open, 'task_id' | 'attempt'>, more: Record<string, string>): void =>
    ctx.log('error', 'task.inconsistent', { task_id, attempt, ...more })

  /** Writes what was accepted in this turn: at its end, and before anything reads attempts. */
  const flush = (): void => {
    for (const [attempt, { isLeaseLonger }] of unwrittenAccepts) {
      try {
        store.attempts.accept(attempt, ctx)
        if (isLeaseLonger) store.attempts.extendLease(attempt)
      } catch (error) {
        // Somebody has changed the file under us: that must not fail a turn in which others have their part.
        if (isStoreFault(error)) throw error
        inconsistent(attempt, { error: String(error) })
      }
    }
    unwrittenAccepts.clear()
  }

  /** Ends an open attempt otherwise than by its completion. */
  const end = (
    attempt: Open,
    how: Exclude<AttemptEnd, 'completed'>,
    fault: Fault | null,
    error: string | null,
  ): void => {
    try {
      unwrittenAccepts.delete(attempt) // what is written of its end says so too
      const isNew = store.attempts.end(attempt, how, fault, error, ctx.meter.firstWordOf(attempt), ctx)
      if (!isNew) inconsistent(attempt, { error: REPLACED })
    } catch (changed) {
      // Somebody has changed the file under us. It is over all the same: its node must not hold it for ever.
      if (isStoreFault(changed)) throw changed
      inconsistent(attempt, { error: String(changed) })
    }
    ctx.meter.ended(attempt, how, fault, null)
    const node = registry.release(attempt)
    if (node !== undefined) vigilance.ended({ node, attempt, end: how, fault })
    if (node !== undefined && fault === 'node') aftermath.blame(node)
    if (node !== undefined) ctx.releasedNodes.add(node)
  }

  /** The task has its result: ends the attempt that it came from, also one that had ended before. */
  const complete = (attempt: Open | AttemptHead, { output, usage, signature }: Omit<NewResult, 'confidence'>): void => {
    const open = findOpen(attempt)
    if (open !== undefined) unwrittenAccepts.delete(open)
    const isNew = store.attempts.complete(open ?? attempt, usage, ctx.meter.firstWordOf(open ?? attempt), ctx)
    if (!isNew) inconsistent(attempt, { error: REPLACED })
    if (signature !== null) store.resultProofs.sign({ task_id: attempt.task_id, attempt: attempt.attempt, signature })
    ctx.meter.ended(open ?? attempt, 'completed', null, usage)
    const ms = ctx.now - (attempt.accepted_ms ?? attempt.assigned_ms)
    if (open !== undefined) registry.release(open)
    const node = registry.givenTo(attempt)
    aftermath.credit(node, ms)
    if (node !== undefined) {
      resultKeys.note(node)
      probation.succeeded(node)
      vigilance.ended({ node, attempt: open ?? attempt, end: 'completed', fault: null })
      vigilance.answered({
        task_id: attempt.task_id,
        node,
        ms,
        output,
        completion_tokens: usage?.completion_tokens ?? null,
      })
    }
    const { task_id, node_id } = attempt
    ctx.log('debug', 'task.completed', { task_id, attempt: attempt.attempt, node_id, ms, late: open === undefined })
  }

  /** Tells the node of an attempt to stop working on it; one without a session learns it from the answer to its result. */
  const sendCancel = (open: Open, reason: 'cancelled' | 'timeout' | 'superseded' | 'recalled'): void => {
    const { task_id, attempt } = open
    const session = registry.givenTo(open)?.session
    if (session != null) ctx.send(session.id, { type: 'task.cancel', task_id, attempt, reason })
  }

  /** Ends an open attempt without a result and moves its task on: back to pending, or to its end. */
  const requeue = (attempt: Open, how: AttemptFailure, fault: Fault | null, error: string): void => {
    const task = store.tasks.head(attempt.task_id)
    if (task?.status !== 'in_progress') {
      // Somebody has changed the file under us. The attempt is over; the deadlines of others must not wait for it.
      end(attempt, 'superseded', null, null)
      return inconsistent(attempt, { status: task?.status ?? 'missing' })
    }
    end(attempt, how, fault, error)
    aftermath.moveOn(task, how, error)
  }

  const begin = (
    { task_id, max_infer_time }: Pick<TaskRow, 'task_id' | 'max_infer_time'>,
    attempt: number,
    node: Node,
    polled: boolean,
  ): OpenAttempt => ({
    task_id,
    attempt,
    node_id: node.row.node_id,
    node_epoch: node.row.epoch,
    polled: polled ? 1 : 0,
    handouts: polled ? 1 : 0,
    assigned_ms: ctx.now,
    accepted_ms: polled ? ctx.now : null,
    lease_ms: ctx.now + max_infer_time * 1000,
    assigned_at: toSeconds(ctx.wall),
    accepted_at: polled ? toSeconds(ctx.wall) : null,
  })
  const assigned = (attempt: OpenAttempt, task: NewTask, node: Node): void => {
    ctx.meter.assigned(attempt, task, attempt.attempt > 1 && store.attempts.begun(task.task_id) > attempt.polled)
    if (attempt.polled === 1) ctx.meter.accepted(attempt)
    ctx.paid.set(attempt, task.paid_nonce !== null)
    if (ctx.noCallback.has(task)) ctx.noCallback.add(attempt)
    drainRates.note(task.model_key, ctx.now)
    probation.assigned(task, node)
    vigilance.assigned(attempt, task)
    registry.assign(attempt)
    ctx.wake(attempt.lease_ms)
    const { task_id, node_id, polled } = attempt
    ctx.log('debug', 'task.assigned', { task_id, attempt: attempt.attempt, node_id, polled: polled === 1 })
  }
  const there = <T>(task: T | undefined, taskId: string): T => {
    if (task === undefined) throw new Error(`task ${taskId} has an attempt but no row`)
    return task
  }
  const mustGet = (taskId: string): TaskHead => there(store.tasks.head(taskId), taskId)

  /** The attempt that a node names, with its task. `number` null: the newest one of that task that the node was given. */
  const find = (nodeId: string, taskId: string, number: number | null) => {
    const task = store.tasks.head(taskId)
    const row = number === null ? store.attempts.newestOf(taskId, nodeId) : store.attempts.get(taskId, number)
    // Not by its name alone: the name may be in other hands since, and then has no part in what came before.
    return { task, row: row?.node_id === nodeId && registry.givenTo(row) !== undefined ? row : undefined }
  }
  /** The open attempt that a node names, if it holds it: known without reading. What a node holds was given to its own epoch. */
  const findHeld = (nodeId: string, taskId: string, number: number | null): Open | undefined => {
    const attempt = registry.nodes.get(nodeId)?.held.get(taskId)
    return attempt !== undefined && (number === null || attempt.attempt === number) ? attempt : undefined
  }
  const findOpen = (row: Pick<AttemptRow, 'task_id' | 'attempt'>): Open | undefined => {
    const attempt = registry.open.get(row.task_id)
    return attempt?.attempt === row.attempt ? attempt : undefined
  }

  const accept = (attempt: Open): void => {
    if (attempt.accepted_ms !== null) return
    const isLeaseLonger = registry.accept(attempt, ctx.now, toSeconds(ctx.wall))
    ctx.meter.accepted(attempt)
    unwrittenAccepts.set(attempt, { isLeaseLonger })
  }

  return {
    flush,
    find,
    findHeld,
    findOpen,
    requeue,
    end,
    complete,
    sendCancel,
    mustGet,

    /** Gives a ready task to a node that has a free slot. A polled one is begun at once. */
    assign(ready: ReadyTask, node: Node, polled: boolean): { task: NewTask; attempt: OpenAttempt } {
      const task = pending.takeKept(ready) ?? there(store.tasks.get(ready.task_id), ready.task_id)
      const attempt = begin(task, task.attempt + 1, node, polled)
      transitions.move(task, { to: 'in_progress', at: attempt.assigned_at, ...attempt })
      assigned(attempt, task, node)
      task.status = 'in_progress'
      task.attempt = attempt.attempt
      task.inference_node_id = attempt.node_id
      return { task, attempt }
    },

    /** Writes a task that was just taken in, as in progress at a node that has a free slot. */
    assignNew(task: NewTask, node: Node): OpenAttempt {
      const attempt = begin(task, 1, node, false)
      task.status = 'in_progress'
      task.attempt = 1
      task.inference_node_id = attempt.node_id
      store.tasks.insert(task, attempt)
      ctx.meter.submitted(task, false)
      ctx.watches.changed(task.task_id, 'in_progress', 1)
      pending.countFor(task.user_address, -1)
      assigned(attempt, task, node)
      return attempt
    },

    /** The node works on it. False when the attempt is not open. */
    accept(row: Pick<AttemptRow, 'task_id' | 'attempt'>): boolean {
      const attempt = findOpen(row)
      if (attempt !== undefined) accept(attempt)
      return attempt !== undefined
    },
  }
}
