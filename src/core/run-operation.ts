import { done, never, type Outcome } from '../lib/result.js'
import { createEnrolment } from './access/enrolment.js'
import { createProbation } from './access/probation.js'
import { createVigilance } from './access/vigilance.js'
import { createAccessOrders } from './access/orders.js'
import { createQuotas } from './access/quotas.js'
import { createCallbackDesk } from './callbacks/desk.js'
import { createCallbackOrders } from './callbacks/orders.js'
import { createAsks } from './asks.js'
import type { Context } from './context.js'
import { createDeadlines } from './deadlines.js'
import { createDispatch } from './dispatch/dispatch.js'
import { createEligibility } from './dispatch/eligibility.js'
import { refusalEffects, traitsOf } from './operation-traits.js'
import { createFigures } from './figures.js'
import type { Operation, Results } from './operations.js'
import { createNodePages } from './node-pages.js'
import { createOperator } from './operator.js'
import { signedTxFor } from './settlement/handout.js'
import { createCover } from './settlement/cover.js'
import { createDelegations } from './settlement/delegations.js'
import { createPayees } from './settlement/payees.js'
import { createSettlementDesk } from './settlement/desk.js'
import { createSettlementOrders } from './settlement/orders.js'
import { createAdmission } from './sessions/admission.js'
import { createClientRequests } from './sessions/client-requests.js'
import { createKeyChanges } from './sessions/key-changes.js'
import { createNodeMessages } from './sessions/node-messages.js'
import { createPolling } from './sessions/polling.js'
import { createRestartGrace } from './sessions/restart-grace.js'
import type { Watches } from './sessions/watches.js'
import { createAftermath } from './tasks/aftermath.js'
import { createDrainRates } from './tasks/drain-rates.js'
import { createAttempts } from './tasks/attempts.js'
import { createPayments } from './tasks/payments.js'
import { createPending } from './tasks/pending.js'
import { createReceipts } from './tasks/receipts.js'
import { createResults } from './tasks/results.js'
import { createResealing } from './tasks/resealing.js'
import { createRetention } from './tasks/retention.js'
import { createSubmissions } from './tasks/submissions.js'
import { createTransitions } from './tasks/transitions.js'
import type { Storage } from './watching/metrics.js'
import { createWatchOrders } from './watching/orders.js'

export interface RunOperationParts {
  health(): Outcome<Results['health']>
  watches: Watches
  storage: Storage
}

export type RunOperation = ReturnType<typeof createRunOperation>

/** What each operation does, inside the transaction of its turn. */
export function createRunOperation(ctx: Context, { health, watches, storage }: RunOperationParts) {
  const { store, registry } = ctx
  const pending = createPending(ctx)
  const callbacks = createCallbackDesk(ctx, (taskId) => settlementOf(taskId))
  const callbackOrders = createCallbackOrders(callbacks)
  const transitions = createTransitions(ctx, pending, callbacks)
  const aftermath = createAftermath(ctx, { pending, transitions })
  const probation = createProbation(ctx)
  const vigilance = createVigilance(ctx, probation)
  const drainRates = createDrainRates()
  const attempts = createAttempts(ctx, { pending, transitions, aftermath, probation, vigilance, drainRates })
  const quotas = createQuotas(ctx)
  const payments = createPayments(ctx)
  const submissions = createSubmissions(ctx, { pending, attempts, quotas, vigilance, payments, callbacks })
  const { chain } = ctx.options
  const delegations = chain === null ? null : createDelegations(ctx)
  const payees = chain === null || delegations === null ? null : createPayees(chain.network, delegations.of)
  const cover = createCover(ctx, chain, payees)
  const desk = chain === null || payees === null ? null : createSettlementDesk(ctx, chain, { transitions, payees })
  const settlementOf = (taskId: string) => desk?.ofTask(taskId) ?? store.settlements.get(taskId) ?? null
  const nodePages = createNodePages(ctx, { probation, cover })
  const settlementOrders = createSettlementOrders({ desk, delegations, cover })
  const results = createResults(ctx, { attempts, transitions, settle: desk?.settle ?? null, ended: callbacks.ended })
  const eligibility = createEligibility(ctx, { pending, probation, cover })
  const dispatch = createDispatch(ctx, { submissions, attempts, eligibility })
  const admission = createAdmission(ctx, { attempts, payees })
  const enrolment = createEnrolment(ctx)
  const polling = createPolling(ctx, {
    pending,
    attempts,
    results,
    dispatch,
    admission,
    enrolment,
    signedTx: (task, node) => signedTxFor(chain, payees, task, node),
  })
  const restartGrace = createRestartGrace(ctx)
  const nodeMessages = createNodeMessages(ctx, {
    attempts,
    results,
    restartGrace,
    admission,
    enrolment,
    probation,
    vigilance,
  })
  const keyChanges = createKeyChanges(ctx, { attempts, enrolment })
  const orders = createAccessOrders(ctx, vigilance)
  const operator = createOperator(ctx, {
    pending,
    transitions,
    attempts,
    admission,
    vigilance,
    payments,
    cover,
    probation,
    settlementOf,
    callbackOf: callbacks.ofTask,
  })
  const asks = createAsks(ctx, { drainRates, waiting: operator.waitingOf, isCancelled: operator.isCancelled })
  const receiptOf = createReceipts(ctx, settlementOf)
  const clientRequests = createClientRequests(ctx, { submissions, operator, watches })
  const deadlines = createDeadlines(ctx, { transitions, attempts, eligibility, dispatch, nodeMessages, restartGrace })
  const retention = createRetention(ctx)
  const resealing = createResealing(ctx)

  const figures = createFigures(ctx, { health, vigilance, desk, callbacks })
  const watchOrders = createWatchOrders(ctx, { nodes: nodePages, stats: figures.stats, storage })

  const stop = ({ op: _, ...comeback }: Extract<Operation, { op: 'stop' }>): null => {
    ctx.stopping = true
    for (const id of registry.sessions.keys()) ctx.send(id, { type: 'session.drain', reason: 'shutdown', ...comeback })
    return null
  }

  /** Writes what this turn has put off. */
  const flush = (): void => {
    submissions.flush()
    attempts.flush()
  }

  /** What has changed of who has access, by this or another program. */
  const followAccess = (): void => {
    const settled = ctx.credentials.follow(ctx.wall)
    if (settled === null) return
    ctx.afterCommit.push(settled)
    if (ctx.access.isOn()) pending.countPerUser()
    keyChanges.follow()
  }

  const run = (o: Operation): Outcome<Results[keyof Results]> => {
    const allowed = ctx.access.admit(o)
    if ('ok' in allowed) {
      ctx.effects.push(...refusalEffects(o, allowed.code, allowed.message))
      return allowed
    }
    if (traitsOf(o).readsRows) flush()
    if (settlementOrders.concerns(o)) return settlementOrders.run(o, allowed)
    if (callbackOrders.concerns(o)) return callbackOrders.run(o, allowed)
    if (asks.concerns(o)) return asks.run(o)
    if (watchOrders.concerns(o)) return watchOrders.run(o, allowed)
    switch (o.op) {
      case 'submit':
        return done(submissions.submit(o.tasks, allowed))
      case 'register':
        return polling.register(o.node, o.from, allowed)
      case 'heartbeat':
        return polling.heartbeat(o.node_id, o.status, allowed)
      case 'poll':
        return polling.poll(o, allowed)
      case 'complete':
        return polling.complete(o, allowed)
      case 'fail':
        return polling.fail(o, allowed)
      case 'task':
        return operator.view(o.task_id, allowed)
      case 'taskDetail':
        return operator.detail(o.task_id, allowed)
      case 'receipt':
        return receiptOf(o.task_id, allowed)
      case 'list':
        return operator.list(o, allowed)
      case 'cancel':
        return operator.cancel(o.task_id, allowed)
      case 'retry':
        return operator.retry(o.task_id, allowed)
      case 'drain':
        return operator.setDrained(o.node_id, o.drained, allowed)
      case 'forget':
        return operator.forget(o.node_id, allowed)
      case 'nodes':
        return done(nodePages.page(o.after, o.limit, allowed))
      case 'stats':
        return done(figures.stats())
      case 'health':
        return figures.health()
      case 'nodeHello':
        nodeMessages.hello(o)
        return done(null)
      case 'nodeMessage':
        nodeMessages.message(o.session, o.message)
        return done(null)
      case 'nodeSeen':
        nodeMessages.seen(o.session)
        return done(null)
      case 'nodeDisconnected':
        nodeMessages.disconnect(o.session, o.returned)
        return done(null)
      case 'clientConnected':
        watches.join(o.session, o.from)
        return done(null)
      case 'clientSubmissions':
        clientRequests.submissions(o.session, o.list, allowed)
        return done(null)
      case 'clientMessage':
        clientRequests.message(o.session, o.message, allowed)
        return done(null)
      case 'clientDisconnected':
        watches.leave(o.session)
        return done(null)
      case 'tokens':
        return orders.tokens(o.before, o.limit)
      case 'tokenCreate':
      case 'tokenRevoke':
      case 'tokenRotate':
      case 'invite':
      case 'allow':
      case 'ban':
      case 'rekey':
        return orders.change(o, allowed)
      case 'audit':
        return orders.audit(o.query)
      case 'alerts':
        return done({ alerts: vigilance.alerts() })
      case 'started':
        return orders.started(o)
      case 'refused':
        vigilance.refused(o.refused)
        return orders.refused(o.refused)
      case 'used':
        for (const { id, at } of o.tokens) store.access.tokens.touch(id, at)
        return done(null)
      case 'tick':
        followAccess()
        quotas.tick()
        vigilance.tick()
        probation.tick()
        deadlines.tick()
        admission.tick()
        desk?.tick()
        callbacks.tick()
        retention.tick()
        resealing.tick()
        return done(null)
      case 'stop':
        return done(stop(o))
      default:
        return never(o)
    }
  }
  /** Whether an operation writes nothing, as far as memory knows: then it neither needs a commit nor waits for one. */
  const writesNothing = (o: Operation): boolean => {
    const allowed = ctx.access.admit(o)
    if ('ok' in allowed) return true // it is refused
    switch (o.op) {
      case 'task':
      case 'taskDetail':
        return !ctx.access.readsTexts(allowed)
      case 'poll':
        return polling.givesNothing(o)
      case 'settlements':
      case 'settlementsDue':
        return desk?.isWritten() ?? true
      case 'clientMessage':
        return o.message.type === 'task.watch' ? !ctx.access.readsTexts(allowed) : o.message.type !== 'task.cancel'
      case 'nodeMessage':
        if (o.message.type === 'task.output') return registry.open.get(o.message.task_id)?.accepted_ms !== null
        return o.message.type === 'node.heartbeat' || o.message.type === 'session.drain'
      default:
        return traitsOf(o).writes === 'never'
    }
  }

  return {
    run,
    writesNothing,
    flush,
    countPendingPerUser: pending.countPerUser,
    loadFigures: watchOrders.load,
    afterTurn: watchOrders.afterTurn,
    /** The end of a turn: dispatches what became possible and writes what was put off. */
    finish() {
      dispatch.run()
      attempts.flush()
      desk?.save()
    },
    saveAll() {
      quotas.save()
      deadlines.save()
    },
  }
}
