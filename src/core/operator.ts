import { done, refuse, type Outcome, type Refusal } from '../lib/result.js'
import { toSeconds } from '../lib/clock.js'
import type { Node } from './nodes/node.js'
import type { ReopeningRow, TaskRow } from '../store/schema.js'
import type { SettlementRow } from '../store/settlement-schema.js'
import type { TaskHead } from '../store/tasks.js'
import type { Page, TaskFilter } from '../store/pages.js'
import type { AuditEntry } from '../store/audit-entries.js'
import { CANCELLED, hasEnded } from '../rules/lifecycle.js'
import { hiddenFields, redact, type Owned } from '../rules/ownership.js'
import { modelKey } from '../rules/models.js'
import { auditBy, type Allowed } from './access/caller.js'
import { reachesNode, reachesTask } from './access/control.js'
import type { Probation } from './access/probation.js'
import type { Vigilance } from './access/vigilance.js'
import type { Context } from './context.js'
import type { Cover } from './settlement/cover.js'
import type { CallbackView } from './callbacks/reports.js'
import type { Admission } from './sessions/admission.js'
import type { Attempts } from './tasks/attempts.js'
import type { Payments } from './tasks/payments.js'
import type { Pending } from './tasks/pending.js'
import type { Transitions } from './tasks/transitions.js'
import type { Operation, TaskDetail, TaskView, Waiting } from './operations.js'
import { createWaits } from './waits.js'

export interface OperatorParts {
  pending: Pending
  transitions: Transitions
  attempts: Attempts
  admission: Pick<Admission, 'forget'>
  vigilance: Vigilance
  payments: Payments
  cover: Cover
  probation: Probation
  /** What becomes of the payment of a task. */
  settlementOf(taskId: string): SettlementRow | null
  /** Where its end is told. */
  callbackOf(taskId: string): CallbackView | null
}

/** What operators and users ask of tasks and nodes beside the work itself: look, cancel, retry, drain, resume, forget. */
export function createOperator(
  ctx: Context,
  {
    pending,
    transitions,
    attempts,
    admission,
    vigilance,
    payments,
    cover,
    probation,
    settlementOf,
    callbackOf,
  }: OperatorParts,
) {
  const { store, registry } = ctx
  const waits = createWaits(ctx, { cover, probation })

  /** A task that is another's is not there. */
  const within = <R extends Owned, T>(
    taskId: string,
    task: R | undefined,
    allowed: Allowed,
    then: (task: R) => Outcome<T>,
  ): Outcome<T> =>
    task === undefined || !reachesTask(allowed, task)
      ? refuse('task_not_found', `task_id: there is no task ${taskId}`)
      : then(task)
  const withTask = <T>(taskId: string, allowed: Allowed, then: (task: TaskHead) => Outcome<T>): Outcome<T> =>
    within(taskId, store.tasks.head(taskId), allowed, then)
  const withNode = <T>(nodeId: string, allowed: Allowed, then: (node: Node) => Outcome<T>): Outcome<T> => {
    if (!reachesNode(allowed, nodeId)) return refuse('forbidden', `node_id: this token does not speak for ${nodeId}`)
    const node = registry.nodes.get(nodeId)
    return node === undefined ? refuse('node_not_registered', `node_id: there is no node ${nodeId}`) : then(node)
  }
  const conflict = (task: TaskHead, verb: string): Refusal =>
    refuse('conflict', `task_id: ${task.task_id} is ${task.status} and cannot be ${verb}; nothing was changed`)

  /** What somebody did with the rights of his role, and not because it is his own. */
  const audit = ({ by }: Allowed, entry: AuditEntry): void => {
    vigilance.operatorActed(by)
    store.access.audit.append(entry, auditBy(by, ctx.wall))
  }
  const auditTask = (
    allowed: Allowed,
    action: 'task.cancelled' | 'task.retried' | 'task.texts_read',
    { task_id, owner_id }: Pick<TaskRow, 'task_id' | 'owner_id'>,
  ): void => {
    if (ctx.access.isOn() && !allowed.grant.own) audit(allowed, { action, subject: task_id, detail: { owner_id } })
  }
  const readTexts = (allowed: Allowed, task: Pick<TaskRow, 'task_id' | 'owner_id'>): void => {
    if (ctx.access.readsTexts(allowed)) auditTask(allowed, 'task.texts_read', task)
  }

  const isCancelled = (taskId: string): boolean => {
    const task = store.tasks.result(taskId)
    return task?.status === 'failed' && task.error === CANCELLED
  }

  /** What anybody may stop: it is failed, and a node that works on it is told. False when it has ended otherwise. */
  const cancelTask = (task: TaskHead): boolean => {
    if (isCancelled(task.task_id)) return true
    if (task.status !== 'pending' && task.status !== 'in_progress') return false
    const attempt = registry.open.get(task.task_id)
    if (attempt !== undefined) {
      attempts.end(attempt, 'cancelled', null, null)
      attempts.sendCancel(attempt, 'cancelled')
    }
    transitions.fail(task, CANCELLED)
    return true
  }

  /** Opens a task again that has failed or timed out; its attempts count anew. False when it has not. */
  const retryTask = (task: TaskHead): boolean => {
    if (task.status !== 'failed' && task.status !== 'timeout') return false
    const at = toSeconds(ctx.wall)
    store.history.addReopening({
      task_id: task.task_id,
      attempt: task.attempt,
      status: task.status,
      ended_at: task.updated_at,
      reopened_at: at,
    })
    transitions.move(task, {
      to: 'pending',
      queue_rank: task.infer_fee,
      at,
      again: { after: task.attempt, queued_ms: ctx.now },
    })
    pending.joined(task)
    ctx.log('info', 'task.reopened', { task_id: task.task_id, attempt: task.attempt })
    return true
  }

  const beganOf = (task: Pick<TaskRow, 'queued_ms' | 'created_at'>, last: ReopeningRow | undefined) => {
    const queued_ms = ctx.moments.wallOf(task.queued_ms, last?.reopened_at ?? task.created_at)
    return { created_ms: last === undefined ? queued_ms : task.created_at * 1000, queued_ms }
  }

  return {
    isCancelled,
    readTexts,
    /** Where a task is in its queue; null when it does not wait. */
    waitingOf(taskId: string): Waiting | null {
      const task = store.tasks.head(taskId)
      return task?.status === 'pending' ? waits.waiting(task) : null
    },

    view: (taskId: string, allowed: Allowed): Outcome<TaskView> =>
      within(taskId, store.tasks.show(taskId), allowed, (task) => {
        readTexts(allowed, task)
        return done({
          task,
          settlement: settlementOf(taskId),
          callback: callbackOf(taskId),
          hidden: hiddenFields({ ...allowed.grant, keys: true }),
          begun: store.attempts.begun(taskId),
        })
      }),

    detail: (taskId: string, allowed: Allowed): Outcome<TaskDetail> =>
      within(taskId, store.tasks.show(taskId), allowed, (task) => {
        readTexts(allowed, task)
        const attempts = store.attempts.history(taskId)
        const reopenings = store.history.reopenings(taskId)
        return done({
          task,
          settlement: settlementOf(taskId),
          callback: callbackOf(taskId),
          hidden: hiddenFields({ ...allowed.grant, keys: true }),
          attempts: attempts.map(ctx.moments.onWall),
          begun: attempts.filter((a) => a.accepted_ms !== null).length,
          reopenings,
          waiting: task.status === 'pending' ? { ...waits.waiting(task), nodes: waits.nodes(task) } : null,
          ...beganOf(task, reopenings.at(-1)),
        })
      }),

    list({ filter: asked, before, limit }: Extract<Operation, { op: 'list' }>, { by, grant }: Allowed): Outcome<Page> {
      const filter: TaskFilter = { ...asked, model: asked.model === null ? null : modelKey(asked.model) }
      if (grant.own) return done(store.history.ownedPage(by.principal.owners, filter, before, limit))
      // What is found by its submitter tells who that is.
      if (!grant.submitter && asked.user !== null)
        return refuse('forbidden', 'user: this token does not see who submits tasks; leave it out')
      const page = store.history.page(filter, before, limit, ctx.time.monotonic)
      const hidden = hiddenFields({ ...grant, keys: true })
      if (hidden.length === 0) return done(page)
      return done({ ...page, tasks: JSON.stringify(redact(JSON.parse(page.tasks), hidden)) })
    },

    cancel: (taskId: string, allowed: Allowed): Outcome<null> =>
      withTask(taskId, allowed, (task) => {
        if (!cancelTask(task)) return conflict(task, 'cancelled')
        if (!hasEnded(task.status)) auditTask(allowed, 'task.cancelled', task)
        return done(null)
      }),

    retry: (taskId: string, allowed: Allowed): Outcome<null> =>
      withTask(taskId, allowed, (task) => {
        if (ctx.stopping) return refuse('stopping', 'the service is stopping; try again in a few seconds')
        if (!hasEnded(task.status)) return done(null) // it is on its way already
        if (store.tasks.counts.pending >= ctx.options.maxPendingTasks)
          return refuse('queue_full', 'the queue is full; try again later')
        const { maxPendingPerUser } = ctx.options
        if (maxPendingPerUser > 0 && (ctx.pendingPerUser?.get(task.user_address) ?? 0) >= maxPendingPerUser) {
          return refuse(
            'rate_limited',
            `user_address: ${task.user_address} has ${maxPendingPerUser} tasks waiting, the most one user may have; wait for some to end`,
          )
        }
        const paidOther = payments.retryRefusal(task)
        if (paidOther !== null) return paidOther
        if (!retryTask(task)) return conflict(task, 'retried')
        auditTask(allowed, 'task.retried', task)
        return done(null)
      }),

    setDrained: (nodeId: string, drained: boolean, allowed: Allowed): Outcome<null> =>
      withNode(nodeId, allowed, (node) => {
        registry.setDrained(node, drained)
        audit(allowed, { action: drained ? 'node.drained' : 'node.resumed', subject: nodeId, detail: {} })
        if (!drained) registry.setCooldown(node, 0)
        ctx.log('info', drained ? 'node.drained' : 'node.resumed', { node_id: nodeId, holds: node.held.size })
        return done(null)
      }),

    forget: (nodeId: string, allowed: Allowed): Outcome<null> =>
      withNode(nodeId, allowed, (node) => {
        if (node.held.size > 0)
          return refuse(
            'conflict',
            `node_id: ${nodeId} holds ${node.held.size} ${node.held.size === 1 ? 'task' : 'tasks'}; drain it first, and forget it when it holds none`,
          )
        if (node.session !== null) {
          ctx.close(node.session.id, 'drained', 'the operator has removed this node')
          registry.setSession(node, null)
        }
        admission.forget(node)
        audit(allowed, { action: 'node.forgotten', subject: nodeId, detail: {} })
        return done(null)
      }),
  }
}
