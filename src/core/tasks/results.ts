import { toSeconds } from '../../lib/clock.js'
import { hasEnded } from '../../rules/lifecycle.js'
import type { AttemptRow } from '../../store/attempt-schema.js'
import type { TaskHead } from '../../store/tasks.js'
import type { TaskErrorCode } from '../../wire/fields.js'
import type { Context } from '../context.js'
import type { Attempts, NewResult } from './attempts.js'
import type { EndHooks, Transitions } from './transitions.js'

/** What came of something a node said about an attempt. */
export type Verdict =
  /** It counts, and the task has this status now. `again`: it had been said before and changed nothing. */
  | { is: 'settled'; status: TaskHead['status']; again: boolean }
  /** The attempt was this node's once, and no longer matters. */
  | { is: 'stale'; task: TaskHead }
  | { is: 'not_holder'; task: TaskHead | undefined }
  /** The output is larger than what is stored. */
  | { is: 'too_large'; limit: number }

export interface ResultParts {
  attempts: Attempts
  transitions: Transitions
  /** Told of every result, in its commit; null where the chain is not looked at. */
  settle: ((attempt: Pick<AttemptRow, 'task_id' | 'node_id'>, output: string) => void) | null
  ended: EndHooks['ended']
}

/** Why a node gives up. */
export interface Failure {
  error: string
  retryable: boolean
  /** What is wrong with the task itself. */
  code?: TaskErrorCode | null
}

export type Results = ReturnType<typeof createResults>

/** What nodes report of attempts that they were given, over whichever transport. */
export function createResults(ctx: Context, { attempts, transitions, settle, ended }: ResultParts) {
  const { store, registry, options } = ctx

  return {
    /** A result. The first valid one wins, also from an attempt that was given up, while the task has none. */
    complete(nodeId: string, taskId: string, number: number | null, result: NewResult): Verdict {
      const limit = options.maxOutputBytes
      const units = result.output.length + (result.notes?.length ?? 0)
      if (units * 3 > limit && Buffer.byteLength(result.output) + Buffer.byteLength(result.notes ?? '') > limit)
        return { is: 'too_large', limit }
      const held = attempts.findHeld(nodeId, taskId, number)
      if (held !== undefined && store.tasks.complete(held, result, toSeconds(ctx.wall))) {
        ctx.watches.changed(taskId, 'completed', held.attempt)
        if (!ctx.noCallback.has(held)) ended(taskId)
        attempts.complete(held, result)
        ctx.meter.completed(held)
        settle?.(held, result.output)
        return { is: 'settled', status: 'completed', again: false }
      }
      attempts.flush()
      const { task, row } = attempts.find(nodeId, taskId, number)
      if (task === undefined || row === undefined) return { is: 'not_holder', task }
      if (row.end === 'completed') return { is: 'settled', status: task.status, again: true }
      if (hasEnded(task.status)) return { is: 'stale', task }

      const other = attempts.findOpen(row) === undefined ? registry.open.get(taskId) : undefined
      if (other !== undefined) {
        attempts.end(other, 'superseded', null, null)
        attempts.sendCancel(other, 'superseded')
      }
      transitions.move(task, {
        to: 'completed',
        node_id: nodeId,
        output: result.output,
        confidence: result.confidence,
        notes: result.notes,
        at: toSeconds(ctx.wall),
      })
      ctx.watches.changed(taskId, 'completed', row.attempt)
      attempts.complete(attempts.findOpen(row) ?? row, result)
      settle?.(row, result.output)
      return { is: 'settled', status: 'completed', again: false }
    },

    /** The node gives up. The same word twice is answered twice and counted once. */
    fail(nodeId: string, taskId: string, number: number | null, { error, retryable, code }: Failure): Verdict {
      attempts.flush()
      const { task, row } = attempts.find(nodeId, taskId, number)
      if (task === undefined || row === undefined) return { is: 'not_holder', task }
      if (row.end === 'failed') return { is: 'settled', status: task.status, again: true }
      const attempt = attempts.findOpen(row)
      if (attempt === undefined) return { is: 'stale', task }
      const why = error === '' ? 'the node gave no reason' : error
      attempts.accept(attempt)
      if (retryable) attempts.requeue(attempt, 'failed', 'node', why)
      else {
        attempts.end(attempt, 'failed', 'task', why)
        transitions.fail(task, why, code ?? null)
      }
      return { is: 'settled', status: attempts.mustGet(taskId).status, again: false }
    },
  }
}
