import { toSeconds } from '../../lib/clock.js'
import { createIds } from '../../lib/ids.js'
import { done, refuse, type Outcome } from '../../lib/result.js'
import { sameParams } from '../../store/task-reads.js'
import { textLength, type NewTask, type TaskHead } from '../../store/tasks.js'
import { modelKey } from '../../rules/models.js'
import { ownerOf } from '../../rules/ownership.js'
import { signedFor } from '../../rules/principal.js'
import { namesProblem } from '../../wire/fields.js'
import { MAX_PARAMS_BYTES } from '../../wire/params.js'
import type { Submission } from '../../wire/rest.js'
import type { OpenAttempt } from '../../store/attempts.js'
import { forbidden, type Allowed } from '../access/caller.js'
import { reachesTask } from '../access/control.js'
import type { Quotas } from '../access/quotas.js'
import type { Vigilance } from '../access/vigilance.js'
import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { Attempts } from './attempts.js'
import { createModelHints } from './model-hints.js'
import type { Submitted } from '../operations.js'
import type { Payments } from './payments.js'
import type { Pending } from './pending.js'

/** Room that everything but the texts takes in a `task.assign` message, in bytes. */
const ASSIGN_OVERHEAD_BYTES = 2048

const NO_CALLBACKS =
  'callback_url: this service sends no callbacks, for its configuration has no [callbacks] secret; leave it out, and ask for the status'

const NOT_OPENED = 'is_encrypted: this service has no key that texts could be encrypted for; send plain text'

export type Submissions = ReturnType<typeof createSubmissions>

export interface SubmissionParts {
  pending: Pending
  attempts: Attempts
  quotas: Quotas
  vigilance: Vigilance
  payments: Payments
  callbacks: CallbackTargets
}

/** Where the ends of tasks are told. */
export interface CallbackTargets {
  open(taskId: string, url: string, signedFor: string | null): void
  /** Null where it is not told. */
  urlOfTask(taskId: string): string | null
}

/**
 * Takes submissions. What a turn has taken is written at its end: as in progress where a node is free for it just then,
 * which saves writing it as pending and reading it again, else as pending. Whatever reads tasks before has it written first.
 */
export function createSubmissions(
  ctx: Context,
  { pending, attempts, quotas, vigilance, payments, callbacks }: SubmissionParts,
) {
  const { store, options } = ctx
  /** Taken in this turn and not written yet, by task id, in order. */
  const unwritten = new Map<string, NewTask>()
  const newId = createIds()
  const hints = createModelHints(ctx)

  ctx.undo.onRollback(() => unwritten.clear())

  const insert = (task: NewTask): void => {
    store.tasks.insert(task)
    ctx.meter.submitted(task, true)
    if (task.sent !== undefined) task.sent = undefined // it is stored; what is kept is what a node gets
    pending.keep(task)
    pending.joined(task)
  }

  /** Compared as they came, and where they are stored without opening them. */
  const sameTexts = (task: NewTask | TaskHead, s: Submission): boolean => {
    if (!('user_input' in task)) return store.tasks.hasTexts(task.task_id, s)
    const { user_input, context } = task.sent ?? task
    return user_input === s.user_input && context === s.context && sameParams(task.params, s.params)
  }

  const submitOne = (s: Submission, allowed: Allowed): Outcome<Submitted> => {
    const { principal } = allowed.by
    const owner = ownerOf(principal, s.user_address)
    if (owner === undefined) return forbidden(`user_address: this token may not submit for ${s.user_address}`)
    const known = s.task_id === null ? undefined : (unwritten.get(s.task_id) ?? store.tasks.head(s.task_id))
    if (known !== undefined) {
      // What another has is not compared: the answer would tell of it.
      return reachesTask(allowed, known) &&
        sameSubmission(known, s) &&
        sameTexts(known, s) &&
        callbacks.urlOfTask(known.task_id) === (s.callback_url ?? null)
        ? done({ task_id: known.task_id, status: known.status })
        : refuse('conflict', `task_id: ${known.task_id} is taken by a task with other content; use a new task_id`)
    }
    if (s.is_encrypted && s.opened === undefined) return refuse('invalid_request', NOT_OPENED)
    if (s.callback_url != null && !options.callbacks) return refuse('invalid_request', NO_CALLBACKS)
    const said = s.opened ?? s
    const problem = namesProblem({ task_id: s.task_id, user_address: s.user_address })
    if (problem !== null) return refuse('invalid_request', problem)
    if (s.max_infer_time > options.maxInferTimeLimit) {
      return refuse(
        'invalid_request',
        `max_infer_time: must be at most ${options.maxInferTimeLimit} seconds here (max_infer_time_limit)`,
      )
    }
    if (ctx.stopping) return refuse('stopping', 'the service is stopping; submit again in a few seconds')
    if (store.tasks.counts.pending + unwritten.size >= options.maxPendingTasks)
      return refuse('queue_full', 'the queue is full; submit again later')
    if (options.maxPendingPerUser > 0 && (ctx.pendingPerUser?.get(s.user_address) ?? 0) >= options.maxPendingPerUser) {
      return refuse(
        'rate_limited',
        `user_address: ${s.user_address} has ${options.maxPendingPerUser} tasks waiting, the most one user may have; wait for some to end`,
      )
    }
    if (s.params !== null && Buffer.byteLength(s.params) > MAX_PARAMS_BYTES)
      return refuse('too_large', `params: must take at most ${MAX_PARAMS_BYTES} bytes as JSON`)
    const limit = options.maxMessageBytes - ASSIGN_OVERHEAD_BYTES
    if (assignBytesAbove(s, limit) || (s.is_encrypted && assignBytesAbove({ ...s, ...said }, limit))) {
      return refuse(
        'too_large',
        `user_input, context, signed_tx and params together are too large to send to a node: at most ${limit} bytes as JSON`,
      )
    }
    const unpaid = payments.refusal(s, unwritten.values())
    if (unpaid !== null) return unpaid
    const over = principal.role === 'user' ? quotas.take(principal, s.user_address, s) : null
    if (over !== null) return over
    const at = toSeconds(ctx.wall)
    const task: NewTask = {
      task_id: s.task_id ?? newId(),
      user_address: s.user_address,
      user_input: said.user_input,
      context: said.context,
      fee: s.fee,
      nonce: s.nonce,
      infer_fee: s.infer_fee,
      max_infer_time: s.max_infer_time,
      model_type: ctx.models.familyOf(s.model_name),
      model_name: s.model_name,
      model_key: modelKey(s.model_name),
      signed_tx: s.signed_tx,
      signer_public_key: s.signer_public_key,
      status: 'pending',
      attempt: 0,
      created_at: at,
      updated_at: at,
      queued_ms: ctx.now,
      queue_rank: s.infer_fee,
      inference_node_id: null,
      owner_id: owner,
      txid: s.paid?.txid ?? null,
      paid_nonce: s.paid === undefined ? null : s.nonce,
      holds_payment: s.paid === undefined ? null : 1,
      params: s.params,
      needs: s.needs,
      join_key: s.join_key ?? null,
      traceparent: s.traceparent ?? null,
    }
    if (s.opened !== undefined) task.sent = { user_input: s.user_input, context: s.context, keys: s.opened.keys }
    vigilance.submitted(task.model_key, task.infer_fee, owner)
    unwritten.set(task.task_id, task)
    if (s.callback_url == null) ctx.noCallback.add(task)
    else callbacks.open(task.task_id, s.callback_url, signedFor(principal))
    pending.countFor(task.user_address, 1)
    ctx.log('debug', 'task.submitted', { task_id: task.task_id, model: task.model_name, infer_fee: task.infer_fee })
    return done({ task_id: task.task_id, status: 'pending', warnings: hints(task.model_name, task.model_type) })
  }

  const drain = (): readonly NewTask[] => {
    if (unwritten.size === 0) return []
    const tasks = [...unwritten.values()]
    unwritten.clear()
    return tasks
  }

  return {
    submit: (tasks: readonly Submission[], allowed: Allowed) => tasks.map((task) => submitOne(task, allowed)),

    /** Writes what this turn has taken as pending: before anything reads tasks. */
    flush() {
      for (const task of drain()) insert(task)
    },

    /**
     * Writes what this turn has taken at its end: as in progress what gets a node at once, the best paid before the others, then
     * as pending what has to wait, in the order of its coming, which is its age.
     * @param nodeFor the node for a task; undefined when it has to wait
     * @param assigned told of what was given to a node
     */
    place(
      nodeFor: (task: NewTask) => Node | undefined,
      assigned: (task: NewTask, attempt: OpenAttempt, node: Node) => void,
    ) {
      const tasks = drain()
      const equal = tasks.every((t) => t.queue_rank === tasks[0]?.queue_rank)
      const waits = new Set<NewTask>()
      for (const task of equal ? tasks : tasks.toSorted((a, b) => b.queue_rank - a.queue_rank)) {
        const node = nodeFor(task)
        if (node === undefined) waits.add(task)
        else assigned(task, attempts.assignNew(task, node), node)
      }
      for (const task of tasks) if (waits.has(task)) insert(task)
    },
  }
}

/** All but the texts. */
const sameSubmission = (task: NewTask | TaskHead, s: Submission): boolean =>
  task.user_address === s.user_address &&
  task.fee === s.fee &&
  task.nonce === s.nonce &&
  task.infer_fee === s.infer_fee &&
  task.max_infer_time === s.max_infer_time &&
  task.model_name === s.model_name &&
  task.signed_tx === s.signed_tx &&
  task.signer_public_key === s.signer_public_key &&
  ('is_encrypted' in task ? task.is_encrypted === 1 : task.sent !== undefined) === s.is_encrypted

/** Whether the texts take more than `limit` bytes as JSON. Measured only where it can matter: one unit is at most 6 bytes. */
function assignBytesAbove(s: Submission, limit: number): boolean {
  if (textLength(s) * 6 <= limit) return false
  const params = Buffer.byteLength(s.params ?? '') // JSON already
  return (
    [s.user_input, s.context, s.signed_tx ?? ''].reduce((n, t) => n + Buffer.byteLength(JSON.stringify(t)), params) >
    limit
  )
}
