import type { AddressKeys } from '../../lib/address.js'
import { toSeconds } from '../../lib/clock.js'
import { done, refuse, type Outcome, type Refusal } from '../../lib/result.js'
import { inCooldown, type Node } from '../nodes/node.js'
import type { NewTask } from '../../store/tasks.js'
import type { NodeRow } from '../../store/schema.js'
import type { OpenAttempt } from '../../store/attempts.js'
import type { NodeStatus } from '../../wire/fields.js'
import type { ErrorCode } from '../../wire/codes.js'
import type { RegisterBody } from '../../wire/rest.js'
import { forbidden, type Allowed } from '../access/caller.js'
import { reachesNode } from '../access/control.js'
import type { Enrolment } from '../access/enrolment.js'
import type { Context } from '../context.js'
import type { Dispatch } from '../dispatch/dispatch.js'
import type { Attempts } from '../tasks/attempts.js'
import type { Results, Verdict } from '../tasks/results.js'
import type { Operation, PolledTask } from '../operations.js'
import type { Proof } from '../../wire/signed.js'
import { createReplays } from './replays.js'
import type { Pending } from '../tasks/pending.js'
import type { Admission, Refused } from './admission.js'

/** An attempt is handed to a poll at most this often; a node that takes it more often skips it silently. */
const MAX_HANDOUTS = 5
/** Those that follow within this time count as one, ms: it is the node that asks seldom which skips it, not one that asks often. */
const HANDOUT_MS = 1000

const refusalCodes: Record<Refused['why'], ErrorCode> = {
  otherKey: 'conflict',
  unsigned: 'forbidden',
  full: 'queue_full',
  tooManyNew: 'rate_limited',
  invalid: 'invalid_request',
}

export interface PollingParts {
  pending: Pending
  attempts: Attempts
  results: Results
  dispatch: Dispatch
  admission: Admission
  enrolment: Enrolment
  /** The transaction that a node gets with a task; null for none. */
  signedTx(task: NewTask, node: Node): string | null
}

type Of<Name extends Operation['op']> = Omit<Extract<Operation, { op: Name }>, 'op'>

/** What nodes do over REST: register, heartbeat, poll, complete, fail. */
export function createPolling(
  ctx: Context,
  { pending, attempts, results, dispatch, admission, enrolment, signedTx }: PollingParts,
) {
  const { store, registry } = ctx
  const replays = createReplays(ctx)
  /** When a hand-out was counted last before the start is not known: the next one counts HANDOUT_MS after it. */
  const startedAt = ctx.now
  /** When a hand-out of an attempt was counted last, service clock, ms. Only ever lets it be handed out once more: never undone. */
  const countedAt = new WeakMap<Readonly<OpenAttempt>, number>()

  const unknown = (nodeId: string): Refusal =>
    refuse('node_not_registered', `node_id: ${nodeId} is not registered; register it with POST /api/v1/nodes/register`)
  const seen = (node: Node): void => registry.sawNode(node, ctx.now, ctx.wall)

  /** The node behind a call, with its sign of life noted; or why the call is refused. */
  const caller = (nodeId: string, allowed: Allowed, proof: Proof | null = null): Node | Refusal => {
    if (!reachesNode(allowed, nodeId)) return forbidden(`node_id: this caller does not speak for ${nodeId}`)
    const node = registry.nodes.get(nodeId)
    if (node === undefined) return unknown(nodeId)
    const { key_proven, public_key } = node.row
    if (key_proven === 1 && proof?.key !== public_key) return refuse('forbidden', admission.unsigned(nodeId).message)
    if (enrolment.isBanned(public_key)) return forbidden(`node_id: the key of ${nodeId} is banned here`)
    seen(node)
    return node
  }

  const handedTo = (node: Node, { task, attempt }: PolledTask): PolledTask => ({
    task: { ...task, signed_tx: signedTx(task, node) },
    attempt,
  })
  const view = (attempt: Readonly<OpenAttempt>, node: Node): PolledTask => {
    const task = store.tasks.get(attempt.task_id)
    if (task === undefined) throw new Error(`task ${attempt.task_id} has an attempt but no row`)
    return handedTo(node, { task, attempt: attempt.attempt })
  }

  /** Hands an attempt out once more; null when that was too often and it counts as failed. */
  const handOutAgain = (attempt: Readonly<OpenAttempt>, node: Node): PolledTask | null => {
    const counted = countedAt.get(attempt) ?? Math.max(attempt.assigned_ms, startedAt)
    if (ctx.now - counted < HANDOUT_MS) return view(attempt, node)
    if (attempt.handouts >= MAX_HANDOUTS) {
      attempts.requeue(attempt, 'failed', 'node', `handed out ${MAX_HANDOUTS} times without a result`)
      return null
    }
    store.attempts.handOut(attempt)
    registry.countHandout(attempt)
    countedAt.set(attempt, ctx.now)
    return view(attempt, node)
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

  /** What a node gets that asks now. */
  const give = (node: Node, running: readonly string[] | null): Outcome<PolledTask | null> => {
    if (ctx.stopping) return refuse('stopping', 'the service is stopping; poll again in a few seconds')
    if (!isWorking(node)) return done(null)
    const missed = missedBy(node, running)
    const again = missed === undefined ? null : handOutAgain(missed, node)
    if (again !== null) return done(again)
    const taken = !mayTake(node) || node.lanes.every(pending.isEmpty) ? null : dispatch.take(node)
    return done(taken === null ? null : handedTo(node, { task: taken.task, attempt: taken.attempt.attempt }))
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
    register(body: RegisterBody, from: AddressKeys, allowed: Allowed): Outcome<null> {
      const { node_id } = body
      if (!reachesNode(allowed, node_id)) return forbidden(`node_id: this token does not speak for ${node_id}`)
      if (enrolment.isBanned(body.public_key)) return forbidden('public_key: this key is banned here')
      if (body.max_concurrent_tasks > ctx.options.maxNodeSlots) {
        return refuse('invalid_request', `max_concurrent_tasks: must be at most ${ctx.options.maxNodeSlots} here`)
      }
      const standing = admission.claim({ node: body, key: body.public_key, proven: false, from })
      if ('why' in standing) return refuse(refusalCodes[standing.why], standing.message)
      const row: NodeRow = {
        ...standing,
        node_id: body.node_id,
        key_proven: 0,
        endpoint: body.endpoint,
        node_address: body.node_address ?? standing.node_address,
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

    heartbeat(nodeId: string, status: NodeStatus, allowed: Allowed): Outcome<null> {
      const node = caller(nodeId, allowed)
      if ('ok' in node) return node
      // Durable, because it lasts: the node is not polled for its status. A heartbeat that says nothing new is not written.
      if (node.row.status !== status) registry.markLanes(registry.save({ ...node.row, status }, ctx.now))
      return done(null)
    },

    poll({ node_id, running, features = 0, proof }: Of<'poll'>, allowed: Allowed): Outcome<PolledTask | null> {
      const node = caller(node_id, allowed, proof)
      if ('ok' in node) return node
      registry.setFeatures(node, features)
      const repeated = proof === undefined ? undefined : replays.get(proof)
      if (repeated !== undefined) {
        const open = repeated === null ? undefined : node.held.get(repeated.task_id)
        return done(open === undefined || open.attempt !== repeated?.attempt ? null : view(open, node))
      }
      const answer = give(node, running)
      if (proof !== undefined && answer.ok)
        replays.set(
          proof,
          answer.value === null ? null : { task_id: answer.value.task.task_id, attempt: answer.value.attempt },
        )
      return answer
    },

    /** Whether a poll gives nothing out, as far as memory knows: then it writes nothing. Most polls of an idle service. */
    givesNothing({ node_id, running, proof }: Of<'poll'>): boolean {
      const node = registry.nodes.get(node_id)
      if (node === undefined || (node.row.key_proven === 1 && proof === undefined) || ctx.stopping || !isWorking(node))
        return true
      return missedBy(node, running) === undefined && (!mayTake(node) || node.lanes.every(pending.isKnownEmpty))
    },

    complete(
      { node_id: nodeId, task_id: taskId, output, confidence, notes = null, usage = null, proof }: Of<'complete'>,
      allowed: Allowed,
    ): Outcome<null> {
      const node = caller(nodeId, allowed, proof)
      if ('ok' in node && node.code === 'forbidden') return node
      const verdict = results.complete(nodeId, taskId, null, { output, confidence, usage, notes, signature: null })
      if (verdict.is === 'settled' && verdict.again && store.tasks.result(taskId)?.output !== output) {
        return refuse(
          'conflict',
          `output: task ${taskId} has another output from this node already; nothing was changed`,
        )
      }
      return answer(verdict, taskId, nodeId)
    },

    fail({ node_id: nodeId, task_id: taskId, proof, ...failure }: Of<'fail'>, allowed: Allowed): Outcome<null> {
      const node = caller(nodeId, allowed, proof)
      if ('ok' in node && node.code === 'forbidden') return node
      return answer(results.fail(nodeId, taskId, null, failure), taskId, nodeId)
    },
  }
}
