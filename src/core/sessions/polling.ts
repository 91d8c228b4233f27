import { toSeconds } from '../../lib/clock.js'
import { done, refuse, type Outcome, type Refusal } from '../../lib/result.js'
import { inCooldown, NO_HISTORY, type Node } from '../nodes/node.js'
import type { NodeRow } from '../../store/schema.js'
import type { OpenAttempt } from '../../store/attempts.js'
import { newNodeProblem, type NodeStatus } from '../../wire/fields.js'
import { normalizeKey } from '../../wire/keys.js'
import type { RegisterBody } from '../../wire/rest.js'
import type { Context } from '../context.js'
import type { Dispatch } from '../dispatch/dispatch.js'
import type { Attempts } from '../tasks/attempts.js'
import type { Results, Verdict } from '../tasks/results.js'
import type { PolledTask } from '../operations.js'
import type { Pending } from '../tasks/pending.js'

/** An attempt is handed to a poll at most this often; a node that takes it more often skips it silently. */
const MAX_HANDOUTS = 5

export interface PollingParts {
  pending: Pending
  attempts: Attempts
  results: Results
  dispatch: Dispatch
}

/** What nodes do over REST: register, heartbeat, poll, complete, fail. */
export function createPolling(ctx: Context, { pending, attempts, results, dispatch }: PollingParts) {
  const { store, registry } = ctx

  const unknown = (nodeId: string): Refusal =>
    refuse('node_not_registered', `node_id: ${nodeId} is not registered; register it with POST /api/v1/nodes/register`)
  const proven = (nodeId: string): Refusal =>
    refuse(
      'forbidden',
      `node_id: ${nodeId} has proven its key in a session; unsigned calls in its name are refused, use the session at /api/v1/nodes/connect`,
    )
  const seen = (node: Node): void => registry.sawNode(node, ctx.now, ctx.wall)

  /** The node behind a call, with its sign of life noted; or why the call is refused. */
  const caller = (nodeId: string): Node | Refusal => {
    const node = registry.nodes.get(nodeId)
    if (node === undefined) return unknown(nodeId)
    if (node.row.key_proven === 1) return proven(nodeId)
    seen(node)
    return node
  }

  const view = (attempt: Readonly<OpenAttempt>): PolledTask => {
    const task = store.tasks.get(attempt.task_id)
    if (task === undefined) throw new Error(`task ${attempt.task_id} has an attempt but no row`)
    return { task, attempt: attempt.attempt }
  }

  /** Hands an attempt out once more; null when that was too often and it counts as failed. */
  const handOutAgain = (attempt: Readonly<OpenAttempt>): PolledTask | null => {
    if (attempt.handouts >= MAX_HANDOUTS) {
      attempts.requeue(attempt, 'failed', 'node', `handed out ${MAX_HANDOUTS} times without a result`)
      return null
    }
    store.attempts.handOut(attempt)
    registry.countHandout(attempt)
    return view(attempt)
  }

  const isWorking = ({ row }: Node): boolean => row.status !== 'maintenance' && row.status !== 'offline'
  const mayTake = (node: Node): boolean =>
    node.held.size < node.row.max_concurrent_tasks && node.row.drained === 0 && !inCooldown(node)
  /** A node that says what it has is answered what it misses; of one that does not, a full one may have missed an answer. */
  const missedBy = (node: Node, running: readonly string[] | null): Readonly<OpenAttempt> | undefined => {
    if (node.held.size === 0 || (running === null && node.held.size < node.row.max_concurrent_tasks)) return undefined
    const held = [...node.held.values()].sort((a, b) => a.assigned_ms - b.assigned_ms)
    return running === null ? held[0] : held.find((a) => !running.includes(a.task_id))
  }

  const answer = (verdict: Verdict, taskId: string, nodeId: string): Outcome<null> => {
    switch (verdict.is) {
      case 'settled':
        return done(null)
      case 'too_large':
        return refuse(
          'too_large',
          `output: is larger than ${verdict.limit} bytes, the most that is stored; fail the task instead`,
        )
      case 'stale':
        return refuse(
          'conflict',
          `task_id: ${taskId} is ${verdict.task.status} and no longer held by ${nodeId}; nothing was changed`,
        )
      case 'not_holder':
        return verdict.task === undefined
          ? refuse('task_not_found', `task_id: there is no task ${taskId}`)
          : refuse('conflict', `inference_node_id: ${nodeId} was never given task ${taskId}; nothing was changed`)
    }
  }

  return {
    register(body: RegisterBody): Outcome<null> {
      const known = registry.nodes.get(body.node_id)
      if (body.max_concurrent_tasks > ctx.options.maxNodeSlots) {
        return refuse('invalid_request', `max_concurrent_tasks: must be at most ${ctx.options.maxNodeSlots} here`)
      }
      if (known === undefined && registry.nodes.size >= ctx.options.maxNodes) {
        return refuse(
          'queue_full',
          `the service has ${ctx.options.maxNodes} nodes, the most it takes; ask its operator`,
        )
      }
      const problem = known === undefined ? newNodeProblem(body) : null
      if (problem !== null) return refuse('invalid_request', problem)
      if (known !== undefined && !sameKey(known.row.public_key, body.public_key)) {
        return refuse(
          'conflict',
          `public_key: ${body.node_id} is registered with another key; use that key, or another node_id`,
        )
      }
      if (known?.row.key_proven === 1) return proven(body.node_id)
      const row: NodeRow = {
        ...NO_HISTORY,
        key_proven: 0,
        agent: null,
        ...known?.row,
        node_id: body.node_id,
        endpoint: body.endpoint,
        public_key: known?.row.public_key ?? body.public_key,
        node_address: body.node_address ?? known?.row.node_address ?? null,
        status: 'online',
        supported_models: JSON.stringify(body.supported_models),
        performance_score: body.performance_score,
        max_concurrent_tasks: body.max_concurrent_tasks,
        transport: 'rest',
        last_heartbeat: toSeconds(ctx.wall),
        last_seen_ms: ctx.now,
      }
      registry.markLanes(registry.save(row, ctx.now))
      ctx.log('info', 'node.registered', {
        node_id: body.node_id,
        models: body.supported_models.join(',').slice(0, 200),
        transport: 'rest',
      })
      if (body.supported_models.length === 0) ctx.log('warn', 'node.serves_nothing', { node_id: body.node_id })
      return done(null)
    },

    heartbeat(nodeId: string, status: NodeStatus): Outcome<null> {
      const node = caller(nodeId)
      if ('ok' in node) return node
      // Durable, because it lasts: the node is not polled for its status. A heartbeat that says nothing new is not written.
      if (node.row.status !== status) registry.markLanes(registry.save({ ...node.row, status }, ctx.now))
      return done(null)
    },

    poll(nodeId: string, running: readonly string[] | null): Outcome<PolledTask | null> {
      const node = caller(nodeId)
      if ('ok' in node) return node
      if (ctx.stopping) return refuse('stopping', 'the service is stopping; poll again in a few seconds')
      if (!isWorking(node)) return done(null)
      const missed = missedBy(node, running)
      const again = missed === undefined ? null : handOutAgain(missed)
      if (again !== null) return done(again)
      const taken = !mayTake(node) || node.lanes.every(pending.isEmpty) ? null : dispatch.take(node)
      return done(taken === null ? null : { task: taken.task, attempt: taken.attempt.attempt })
    },

    /** Whether a poll gives nothing out, as far as memory knows: then it writes nothing. Most polls of an idle service. */
    givesNothing(nodeId: string, running: readonly string[] | null): boolean {
      const node = registry.nodes.get(nodeId)
      if (node === undefined || node.row.key_proven === 1 || ctx.stopping || !isWorking(node)) return true
      return missedBy(node, running) === undefined && (!mayTake(node) || node.lanes.every(pending.isKnownEmpty))
    },

    complete(nodeId: string, taskId: string, output: string, confidence: number): Outcome<null> {
      const node = caller(nodeId)
      if ('ok' in node && node.code === 'forbidden') return node
      const verdict = results.complete(nodeId, taskId, null, { output, confidence, usage: null })
      if (verdict.is === 'settled' && verdict.again && store.tasks.get(taskId)?.output !== output) {
        return refuse(
          'conflict',
          `output: task ${taskId} has another output from this node already; nothing was changed`,
        )
      }
      return answer(verdict, taskId, nodeId)
    },

    fail(nodeId: string, taskId: string, error: string, retryable: boolean): Outcome<null> {
      const node = caller(nodeId)
      if ('ok' in node && node.code === 'forbidden') return node
      return answer(results.fail(nodeId, taskId, null, error, retryable), taskId, nodeId)
    },
  }
}

/** The same text, or two spellings of the same secp256k1 key. */
export function sameKey(a: string, b: string): boolean {
  if (a === b) return true
  const key = normalizeKey(a)
  return key !== null && key === normalizeKey(b)
}
