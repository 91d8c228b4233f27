import { toSeconds } from '../../lib/clock.js'
import type { Node } from '../nodes/registry.js'
import type { OpenAttempt } from '../../store/attempts.js'
import { isStoreFault } from '../../store/faults.js'
import { STARVED, type AttemptRow, type TaskRow } from '../../store/schema.js'
import type { NewTask, ReadyTask } from '../../store/tasks.js'
import { addEvidence, COOLDOWN_AFTER, cooldownMs } from '../../rules/scoring.js'
import { hasEnded, type AttemptEnd, type Fault } from '../../rules/lifecycle.js'
import type { Context } from '../context.js'
import type { Pending } from './pending.js'

/** A task that so many different nodes were lost with is poison: it is not tried on all. */
const POISON_NODES = 3

/** The `error` of a task that was cancelled. */
const CANCELLED = 'cancelled'

/** What came of something a node said about an attempt. */
export type Verdict =
  /** It counts, and the task has this status now. `again`: it had been said before and changed nothing. */
  | { is: 'settled'; status: TaskRow['status']; again: boolean }
  /** The attempt was this node's once, and no longer matters. */
  | { is: 'stale'; task: TaskRow }
  | { is: 'not_holder'; task: TaskRow | undefined }
  /** The output is larger than what is stored. */
  | { is: 'too_large'; limit: number }

type Usage = { prompt_tokens: number; completion_tokens: number } | null

export type Attempts = ReturnType<typeof createAttempts>

/**
 * The lifecycle of tasks that were taken in: assign, accept, complete, fail, give back. Every function runs inside the turn's
 * transaction; what comes from a node names its attempt, and one that does not count is a named result.
 */
export function createAttempts(ctx: Context, queue: Pending) {
  const { store, registry, options } = ctx

  /** Accepted in this turn, which is not written yet: most of what ends in the same turn is then written once. */
  const accepted = new Set<OpenAttempt>()

  const move = (
    task: Parameters<typeof store.tasks.move>[0] | NewTask,
    change: Parameters<typeof store.tasks.move>[1],
  ): void => {
    store.tasks.move(task, change)
    ctx.watches.changed(task.task_id, change.to, change.to === 'in_progress' ? change.attempt : null)
    if (ctx.pendingPerUser === null || (task.status !== 'pending' && change.to !== 'pending')) return
    const user = 'user_address' in task ? task.user_address : store.tasks.get(task.task_id)?.user_address
    if (user !== undefined) queue.countFor(user, change.to === 'pending' ? 1 : -1)
  }
  const writeAccept = (attempt: OpenAttempt): void => {
    if (accepted.delete(attempt)) store.attempts.accept(attempt, ctx)
  }

  /** Only what is a node's own fault lowers its score; after three in a row it gets a rest. */
  const blame = (node: Node): void => {
    ctx.afterCommit.push(() => {
      addEvidence(node.row, null)
      registry.changed(node)
    })
    if (node.inCooldown) return // what it held when its rest began does not make the rest longer
    const failures = node.row.failures_in_row + 1
    registry.setFailuresInRow(node, failures)
    if (failures < COOLDOWN_AFTER) return
    const until = ctx.now + cooldownMs(failures)
    registry.startCooldown(node, until)
    ctx.wake(until)
    ctx.log('warn', 'node.cooled', {
      node_id: node.row.node_id,
      failures_in_row: failures,
      seconds: toSeconds(until - ctx.now),
    })
  }

  /** Ends an open attempt otherwise than by its completion, and counts it for or against the node. */
  const endAttempt = (
    attempt: OpenAttempt,
    end: Exclude<AttemptEnd, 'completed'>,
    fault: Fault | null,
    error: string | null,
  ): void => {
    writeAccept(attempt)
    store.attempts.end(attempt, end, fault, error, ctx)
    const node = registry.release(attempt)
    if (node !== undefined && fault === 'node') blame(node)
    if (node !== undefined) ctx.releasedNodes.add(node)
  }

  /** Where a task goes whose attempt has just ended without a result. */
  const afterAttempt = (
    task: TaskRow,
    end: 'failed' | 'lost' | 'timeout' | 'rejected' | 'unaccepted',
    error: string,
  ): void => {
    const at = toSeconds(ctx.wall)
    const past = store.attempts.ofTask(task.task_id).filter((a) => a.attempt > task.retried_after)
    const lostWith = new Set(past.filter((a) => a.end === 'lost' && a.fault !== 'coordinator').map((a) => a.node_id))
    if (end === 'timeout' && past.filter((a) => a.end === 'timeout').length >= options.timeoutAttempts) {
      move(task, { to: 'timeout', error, at })
      ctx.log('warn', 'task.timeout', { task_id: task.task_id, error })
    } else if (lostWith.size >= POISON_NODES) {
      fail(task, `poison: ${lostWith.size} different nodes were lost while they worked on it`)
    } else if (past.filter((a) => a.accepted_ms !== null).length >= options.maxAttempts) {
      fail(task, `gave up after ${options.maxAttempts} attempts; the last one: ${error}`)
    } else {
      move(task, {
        to: 'pending',
        queue_rank: ctx.now - task.queued_ms >= options.starvationAfter ? STARVED : task.infer_fee,
        at,
      })
      queue.joined(task)
      ctx.log('info', 'task.requeued', {
        task_id: task.task_id,
        attempt: task.attempt,
        node_id: task.inference_node_id,
        end,
      })
    }
  }
  /** The task has its result: ends the attempt that it came from, also one that had been given up, and counts it for its node. */
  const completed = (attempt: OpenAttempt | AttemptRow, usage: Usage): void => {
    store.attempts.complete(attempt, usage, ctx)
    const took = ctx.now - (attempt.accepted_ms ?? attempt.assigned_ms)
    const open = findOpen(attempt)
    if (open !== undefined) registry.release(open)
    const node = registry.nodes.get(attempt.node_id)
    const endedAt = ctx.now
    ctx.afterCommit.push(() => {
      ctx.durations.add(took, endedAt)
      if (node === undefined) return
      addEvidence(node.row, took / 1000)
      registry.changed(node)
    })
    if (node !== undefined) {
      registry.setFailuresInRow(node, 0)
      if (node.inCooldown) registry.endCooldown(node)
      ctx.releasedNodes.add(node)
    }
    ctx.log('debug', 'task.completed', {
      task_id: attempt.task_id,
      attempt: attempt.attempt,
      node_id: attempt.node_id,
      ms: took,
      late: open === undefined,
    })
  }
  const fail = (task: TaskRow, error: string): void => {
    move(task, { to: 'failed', error, at: toSeconds(ctx.wall) })
    ctx.log('warn', 'task.failed', { task_id: task.task_id, error })
  }

  /** Tells the node of an attempt to stop working on it; one without a session learns it from the answer to its result. */
  const sendCancel = (
    { task_id, attempt, node_id }: OpenAttempt,
    reason: 'cancelled' | 'timeout' | 'superseded',
  ): void => {
    const session = registry.nodes.get(node_id)?.session
    if (session != null) ctx.send(session.id, { type: 'task.cancel', task_id, attempt, reason })
  }

  /** Ends an open attempt and sends its task on. */
  const requeue = (
    attempt: OpenAttempt,
    end: 'failed' | 'lost' | 'timeout' | 'rejected' | 'unaccepted',
    fault: Fault | null,
    error: string,
  ): void => {
    const task = store.tasks.get(attempt.task_id)
    if (task?.status !== 'in_progress') {
      // Somebody has changed the file under us. The attempt is over; the deadlines of others must not wait for it.
      endAttempt(attempt, 'superseded', null, null)
      ctx.log('error', 'task.inconsistent', {
        task_id: attempt.task_id,
        attempt: attempt.attempt,
        status: task?.status ?? 'missing',
      })
      return
    }
    endAttempt(attempt, end, fault, error)
    afterAttempt(task, end, error)
  }
  const newAttempt = (
    taskId: string,
    number: number,
    maxInferTime: number,
    node: Node,
    polled: boolean,
  ): OpenAttempt => ({
    task_id: taskId,
    attempt: number,
    node_id: node.row.node_id,
    polled: polled ? 1 : 0,
    handouts: polled ? 1 : 0,
    assigned_ms: ctx.now,
    accepted_ms: polled ? ctx.now : null,
    lease_ms: ctx.now + maxInferTime * 1000,
  })
  const begin = (node: Node, attempt: OpenAttempt): void => {
    registry.assign(node, attempt)
    ctx.wake(attempt.lease_ms)
    ctx.log('debug', 'task.assigned', {
      task_id: attempt.task_id,
      attempt: attempt.attempt,
      node_id: attempt.node_id,
      polled: attempt.polled === 1,
    })
  }
  const mustGet = (taskId: string): TaskRow => {
    const task = store.tasks.get(taskId)
    if (task === undefined) throw new Error(`task ${taskId} has an attempt but no row`)
    return task
  }

  /** The attempt that a node names, with its task. `number` null: the newest one of that task that the node was given. */
  const find = (nodeId: string, taskId: string, number: number | null) => {
    const task = store.tasks.get(taskId)
    const row = number === null ? store.attempts.newestOf(taskId, nodeId) : store.attempts.get(taskId, number)
    // A node that was forgotten has no key any more: what is said in its name may be anybody's.
    return { task, row: row?.node_id === nodeId && registry.nodes.has(nodeId) ? row : undefined }
  }

  /** The open attempt that a node names, if it holds it: known without reading. */
  const findHeld = (nodeId: string, taskId: string, number: number | null): OpenAttempt | undefined => {
    const attempt = registry.nodes.get(nodeId)?.held.get(taskId)
    return attempt !== undefined && (number === null || attempt.attempt === number) ? attempt : undefined
  }

  const findOpen = (row: Pick<AttemptRow, 'task_id' | 'attempt'>): OpenAttempt | undefined => {
    const attempt = registry.open.get(row.task_id)
    return attempt?.attempt === row.attempt ? attempt : undefined
  }

  return {
    /** What anybody may stop: it is failed, and a node that works on it is told. False when it has ended otherwise. */
    cancel(task: TaskRow): boolean {
      if (task.status === 'failed' && task.error === CANCELLED) return true
      if (task.status !== 'pending' && task.status !== 'in_progress') return false
      const attempt = registry.open.get(task.task_id)
      if (attempt !== undefined) {
        endAttempt(attempt, 'cancelled', null, null)
        sendCancel(attempt, 'cancelled')
      }
      fail(task, CANCELLED)
      return true
    },

    /** Opens a task again that has failed or timed out; its attempts count anew. False when it has not. */
    retry(task: TaskRow): boolean {
      if (task.status !== 'failed' && task.status !== 'timeout') return false
      const at = toSeconds(ctx.wall)
      store.history.addReopening({
        task_id: task.task_id,
        attempt: task.attempt,
        status: task.status,
        error: task.error,
        ended_at: task.updated_at,
        reopened_at: at,
      })
      move(task, { to: 'pending', queue_rank: task.infer_fee, at, again: { after: task.attempt, queued_ms: ctx.now } })
      queue.joined(task)
      ctx.log('info', 'task.reopened', { task_id: task.task_id, attempt: task.attempt })
      return true
    },

    /** Gives a ready task to a node that has a free slot. A polled one is begun at once. */
    assign(ready: ReadyTask, node: Node, polled: boolean): { task: NewTask; attempt: OpenAttempt } {
      const task = queue.takeKept(ready) ?? mustGet(ready.task_id)
      const attempt = newAttempt(task.task_id, task.attempt + 1, task.max_infer_time, node, polled)
      store.attempts.insert(attempt, ctx)
      move(task, { to: 'in_progress', attempt: attempt.attempt, node_id: attempt.node_id, at: toSeconds(ctx.wall) })
      begin(node, attempt)
      task.status = 'in_progress'
      task.attempt = attempt.attempt
      task.inference_node_id = attempt.node_id
      return { task, attempt }
    },

    /** Writes a task that was just taken in, as in progress at a node that has a free slot. */
    assignNew(task: NewTask, node: Node): OpenAttempt {
      const attempt = newAttempt(task.task_id, 1, task.max_infer_time, node, false)
      task.status = 'in_progress'
      task.attempt = 1
      task.inference_node_id = attempt.node_id
      store.tasks.insert(task)
      store.attempts.insert(attempt, ctx)
      ctx.watches.changed(task.task_id, 'in_progress', 1)
      queue.countFor(task.user_address, -1)
      begin(node, attempt)
      return attempt
    },

    /** The node works on it. False when the attempt is not open. */
    accept(row: Pick<AttemptRow, 'task_id' | 'attempt'>): boolean {
      const attempt = findOpen(row)
      if (attempt === undefined) return false
      if (attempt.accepted_ms !== null) return true
      attempt.accepted_ms = ctx.now
      accepted.add(attempt)
      const node = registry.nodes.get(attempt.node_id)
      if (node !== undefined) registry.accepted(node, attempt.task_id)
      return true
    },

    /** Writes what was accepted in this turn: at its end, and before anything reads attempts. */
    flush() {
      for (const attempt of accepted) {
        try {
          store.attempts.accept(attempt, ctx)
        } catch (error) {
          // Somebody has changed the file under us: that must not fail a turn in which others have their part.
          if (isStoreFault(error)) throw error
          ctx.log('error', 'task.inconsistent', {
            task_id: attempt.task_id,
            attempt: attempt.attempt,
            error: String(error),
          })
        }
      }
      accepted.clear()
    },

    /** The turn was undone. */
    discard() {
      accepted.clear()
    },

    find,
    heldBy: findHeld,
    openOf: findOpen,
    giveBack: requeue,
    tellToStop: sendCancel,
    endAttempt,
    fail,
    move,

    /** A result. The first valid one wins, also from an attempt that was given up, while the task has none. */
    complete(
      nodeId: string,
      taskId: string,
      number: number | null,
      result: { output: string; confidence: number; usage: Usage },
    ): Verdict {
      const limit = options.maxOutputBytes
      if (result.output.length * 3 > limit && Buffer.byteLength(result.output) > limit)
        return { is: 'too_large', limit }
      const held = findHeld(nodeId, taskId, number)
      if (held !== undefined && store.tasks.complete(held, result, toSeconds(ctx.wall))) {
        ctx.watches.changed(taskId, 'completed', held.attempt)
        accepted.delete(held)
        completed(held, result.usage)
        return { is: 'settled', status: 'completed', again: false }
      }
      this.flush()
      const { task, row } = find(nodeId, taskId, number)
      if (task === undefined || row === undefined) return { is: 'not_holder', task }
      if (row.end === 'completed') return { is: 'settled', status: task.status, again: true }
      if (hasEnded(task.status)) return { is: 'stale', task }

      const other = findOpen(row) === undefined ? registry.open.get(taskId) : undefined
      if (other !== undefined) {
        endAttempt(other, 'superseded', null, null)
        sendCancel(other, 'superseded')
      }
      move(task, {
        to: 'completed',
        node_id: nodeId,
        output: result.output,
        confidence: result.confidence,
        at: toSeconds(ctx.wall),
      })
      completed(findOpen(row) ?? row, result.usage)
      return { is: 'settled', status: 'completed', again: false }
    },

    /** The node gives up. The same word twice is answered twice and counted once. */
    failAttempt(nodeId: string, taskId: string, number: number | null, error: string, retryable: boolean): Verdict {
      this.flush()
      const { task, row } = find(nodeId, taskId, number)
      if (task === undefined || row === undefined) return { is: 'not_holder', task }
      if (row.end === 'failed') return { is: 'settled', status: task.status, again: true }
      const attempt = findOpen(row)
      if (attempt === undefined) return { is: 'stale', task }
      const why = error === '' ? 'the node gave no reason' : error
      this.accept(row)
      if (retryable) requeue(attempt, 'failed', 'node', why)
      else {
        endAttempt(attempt, 'failed', 'task', why)
        fail(task, why)
      }
      return { is: 'settled', status: mustGet(taskId).status, again: false }
    },
  }
}
