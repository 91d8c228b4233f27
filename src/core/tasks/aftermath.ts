import { toSeconds } from '../../lib/clock.js'
import { COOLDOWN_AFTER, cooldownMs } from '../../rules/scoring.js'
import type { PastAttempt } from '../../store/attempts.js'
import { STARVED } from '../../store/schema.js'
import type { TaskHead } from '../../store/tasks.js'
import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { Pending } from './pending.js'
import type { Transitions } from './transitions.js'

/** A task that so many different nodes were lost with is poison: it is not tried on all. */
const POISON_NODES = 3

/** How an attempt ends that leaves its task without a result, and may leave it to another node. */
export type AttemptFailure = 'failed' | 'lost' | 'timeout' | 'rejected' | 'unaccepted'

export type Aftermath = ReturnType<typeof createAftermath>

/** What follows from the end of an attempt: for its task, and for the node that had it. */
export function createAftermath(
  ctx: Context,
  { pending, transitions }: { pending: Pending; transitions: Transitions },
) {
  const { store, registry, options } = ctx

  /** One slow node does not end a task that another may do in time. */
  const isFinalTimeout = (task: TaskHead, past: readonly PastAttempt[]): boolean =>
    past.filter((a) => a.end === 'timeout').length >= options.timeoutAttempts ||
    !registry.anotherServes(task, new Set([task.inference_node_id ?? '']), ctx.now)

  return {
    /** Where a task goes whose attempt has just ended without a result. */
    moveOn(task: TaskHead, end: AttemptFailure, error: string): void {
      const past = store.attempts.ofTask(task.task_id).filter((a) => a.attempt > task.retried_after)
      if (end === 'timeout' && isFinalTimeout(task, past)) return transitions.timeOut(task, error)
      const lostWith = new Set(past.filter((a) => a.end === 'lost' && a.fault !== 'coordinator').map((a) => a.node_id))
      if (lostWith.size >= POISON_NODES) {
        return transitions.fail(task, `poison: ${lostWith.size} different nodes were lost while they worked on it`)
      }
      if (past.filter((a) => a.accepted_ms !== null).length >= options.maxAttempts) {
        return transitions.fail(task, `gave up after ${options.maxAttempts} attempts; the last one: ${error}`)
      }
      const starved = ctx.now - task.queued_ms >= options.starvationAfter
      transitions.move(task, {
        to: 'pending',
        queue_rank: starved ? STARVED : task.infer_fee,
        at: toSeconds(ctx.wall),
      })
      pending.joined(task)
      ctx.log('info', 'task.requeued', {
        task_id: task.task_id,
        attempt: task.attempt,
        node_id: task.inference_node_id,
        end,
      })
    },

    /** An attempt failed through the node's own fault: its score falls, and after some in a row its cooldown begins. */
    blame(node: Node): void {
      const { epoch } = node.row
      ctx.afterCommit.push(() => registry.countAttempt(node, epoch, null))
      if (registry.coolingDown.has(node)) return // what it held when its cooldown began does not make it longer
      const failures = node.row.failures_in_row + 1
      registry.setFailuresInRow(node, failures)
      if (failures < COOLDOWN_AFTER) return
      const until = ctx.now + cooldownMs(failures)
      registry.setCooldown(node, until)
      ctx.wake(until)
      ctx.log('warn', 'node.cooled', {
        node_id: node.row.node_id,
        failures_in_row: failures,
        seconds: toSeconds(until - ctx.now),
      })
    },

    /** An attempt was completed, in so many ms. @param node undefined when it was forgotten meanwhile */
    credit(node: Node | undefined, ms: number): void {
      const endedAt = ctx.now
      ctx.afterCommit.push(() => ctx.durations.add(ms, endedAt))
      if (node === undefined) return
      const { epoch } = node.row
      ctx.afterCommit.push(() => registry.countAttempt(node, epoch, ms / 1000))
      registry.setFailuresInRow(node, 0)
      registry.setCooldown(node, 0)
      ctx.releasedNodes.add(node)
    },
  }
}
