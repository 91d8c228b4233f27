import { toSeconds } from '../lib/clock.js'
import type { OpenAttempt } from '../store/attempts.js'
import { STARVED } from '../store/schema.js'
import type { Context } from './context.js'
import type { Dispatch } from './dispatch/dispatch.js'
import type { Eligibility } from './dispatch/eligibility.js'
import type { Offer } from './dispatch/offers.js'
import type { NodeMessages } from './sessions/node-messages.js'
import type { RestartGrace } from './sessions/restart-grace.js'
import type { Attempts } from './tasks/attempts.js'
import type { Transitions } from './tasks/transitions.js'

/** The longest the core sleeps, ms: the clock must be read, and the row that says "alive" be written. */
const BEAT_MS = 1000
/** How often "alive" is written while nothing waits for a deadline, ms. */
const IDLE_BEAT_MS = 10_000
/** How many tasks one tick moves at most; when there are more the next tick comes at once. */
const MAX_AT_ONCE = 200
/** How often memory is looked through for open attempts that the file knows no more; and so long after its lease one is taken for such, ms. */
const MISSING_MS = 60_000
/** How exactly sessions are in the order of their last word, ms. */
const ORDER_MS = 1000

export interface DeadlineParts {
  transitions: Transitions
  attempts: Attempts
  eligibility: Eligibility
  dispatch: Pick<Dispatch, 'offers' | 'recall'>
  nodeMessages: NodeMessages
  restartGrace: RestartGrace
}

/** The one loop over everything that ends by clock. Rows and short in-memory lists; no timer per task or node. */
export function createDeadlines(ctx: Context, parts: DeadlineParts) {
  const { transitions, attempts, eligibility, nodeMessages, restartGrace } = parts
  const { offers, recall } = parts.dispatch
  const { store, registry, options, undo } = ctx
  const state = {
    /** Every pending task that began to wait at this time or before goes first already; service clock, ms. */
    starvedThrough: -1,
    nextSweep: 0,
    nextMissing: 0,
    nextBeat: 0,
  }

  /** The node has left an assignment unanswered: it gets nothing more until it sends a heartbeat. */
  const unaccepted = (open: Readonly<OpenAttempt>): void => {
    const node = registry.givenTo(open)
    if (node?.session != null) registry.setSession(node, { ...node.session, stalled: true })
    attempts.sendCancel(open, 'timeout')
    ctx.log('warn', 'task.unaccepted', { task_id: open.task_id, attempt: open.attempt, node_id: open.node_id })
    attempts.requeue(open, 'unaccepted', 'node', 'the node did not accept it in time')
  }

  /** Whether a task that waits at its node may go on waiting: until it has starved, or its node has had a slot for it long enough. */
  const mayWait = (open: Readonly<OpenAttempt>, offer: Offer): boolean => {
    const { prefetched } = registry
    const entry = prefetched.of(open)
    const node = registry.givenTo(open)
    if (entry === undefined || node === undefined) return false
    const isStarved = entry.task.queue_rank < STARVED && ctx.now - entry.task.queued_ms >= options.starvationAfter
    if (isStarved) recall(entry, 'it has waited too long')
    else {
      const isFull = node.held.size - node.offered.size >= node.row.max_concurrent_tasks
      // Between two tasks it looks as if it had a slot: one that goes on accepting others is at work.
      if (!isFull && entry.slotSince !== null && !registry.hasAcceptedSince(node, entry.slotSince)) return false
      prefetched.noteSlot(entry, isFull ? null : ctx.now)
      offers.add({ ...offer, at: ctx.now + options.acceptTimeout })
    }
    return true
  }

  /** Pushed and not accepted in time. */
  const expireOffers = (): void => {
    for (let offer = offers.first(); offer !== undefined; offer = offers.first()) {
      const open = registry.open.get(offer.task_id)
      const waiting = open?.attempt === offer.attempt && open.accepted_ms === null
      if (waiting && offer.at > ctx.now) return ctx.wake(offer.at)
      offers.removeFirst()
      if (waiting && !mayWait(open, offer)) unaccepted(open)
    }
  }

  /** Reclaims what disconnected nodes hold whose grace is over. @returns whether it has come to the last of them */
  const reclaimDisconnected = (): boolean => {
    let over = 0
    for (const node of registry.disconnected) {
      const at = node.reclaimAt
      if (at === null) continue
      if (at > ctx.now) {
        ctx.wake(at)
        continue
      }
      if (over++ === MAX_AT_ONCE) {
        ctx.wake(ctx.now)
        return false
      }
      const later = node.reclaimFault === 'coordinator' ? restartGrace.extend() : null
      if (later === null) nodeMessages.reclaim(node)
      else {
        registry.setReclaim(node, later, 'coordinator')
        ctx.wake(later)
      }
    }
    return true
  }

  /** An open attempt that only the file knows, because somebody has changed it under us: from here on memory knows it too. */
  const adopt = (taskId: string, number: number): OpenAttempt => {
    const row = store.attempts.get(taskId, number)
    if (row === undefined) throw new Error(`task ${taskId} has a lease but no attempt ${number}`)
    registry.assign(row)
    ctx.log('error', 'task.inconsistent', { task_id: taskId, attempt: number, error: 'memory did not know of it' })
    return row
  }

  /** Open attempts whose task somebody has deleted, or changed: no lease in the file ends them. Their nodes must not hold them for ever. */
  const endMissing = (): void => {
    if (ctx.now < state.nextMissing) return
    state.nextMissing = ctx.now + MISSING_MS
    const missing = [...registry.open.values()].filter((open) => open.lease_ms <= ctx.now - MISSING_MS)
    for (const open of missing.slice(0, MAX_AT_ONCE)) {
      attempts.sendCancel(open, 'superseded')
      attempts.requeue(open, 'lost', null, 'it was not in the database any more')
    }
  }

  const expireLeases = (): void => {
    const due = store.attempts.leasesDue(ctx.now)
    for (const { task_id, attempt: number } of due) {
      const attempt = registry.open.get(task_id) ?? adopt(task_id, number)
      if (attempt.accepted_ms === null) {
        const waits = registry.prefetched.of(attempt)
        if (waits === undefined) unaccepted(attempt) // its lease was shorter than accept_timeout
        else recall(waits, 'it has waited at its node for as long as it may take')
        continue
      }
      const node = registry.givenTo(attempt)
      const silent = ctx.now - (node?.seen ?? 0)
      if (attempt.polled === 1 && silent > options.nodeTimeout) {
        attempts.requeue(attempt, 'lost', 'network', `the node was silent for ${toSeconds(silent)} s`)
        continue
      }
      attempts.sendCancel(attempt, 'timeout')
      attempts.requeue(
        attempt,
        'timeout',
        'node',
        `it took longer than max_infer_time (${Math.round((attempt.lease_ms - attempt.assigned_ms) / 1000)} s)`,
      )
    }
    ctx.wake(due.length === MAX_AT_ONCE ? ctx.now : (store.attempts.nextLease() ?? Infinity))
    if (due.length < MAX_AT_ONCE) endMissing()
  }

  /** Tasks that have waited too long: their end, or their place before all others. */
  const expireWaits = (): void => {
    if (options.maxQueueTime > 0) {
      const late = store.tasks.waitingSince(ctx.now - options.maxQueueTime)
      for (const { task_id } of late) {
        const task = store.tasks.head(task_id)
        if (task === undefined) continue
        transitions.move(task, {
          to: 'timeout',
          code: null,
          error: `it waited longer than max_queue_time (${options.maxQueueTime / 1000} s) for a node`,
          at: toSeconds(ctx.wall),
        })
        ctx.log('warn', 'task.timeout', { task_id, error: 'max_queue_time' })
      }
      const oldest = late.length === MAX_AT_ONCE ? ctx.now - options.maxQueueTime : store.tasks.oldestAfter(-1)
      if (oldest !== null) ctx.wake(oldest + options.maxQueueTime)
    }
    const limit = ctx.now - options.starvationAfter
    const starving = store.tasks.unstarvedBetween(state.starvedThrough, limit)
    for (const { task_id } of starving) store.tasks.starve(task_id)
    // The last of a full batch may share its time with more.
    state.starvedThrough = Math.max(
      state.starvedThrough,
      starving.length === MAX_AT_ONCE ? (starving.at(-1)?.queued_ms ?? 0) - 1 : limit,
    )
    const next = store.tasks.oldestAfter(state.starvedThrough)
    if (next !== null) ctx.wake(Math.max(ctx.now, next + options.starvationAfter))
  }

  const endCooldowns = (): void => {
    for (const node of [...registry.coolingDown]) {
      if (node.row.cooled_until_ms > ctx.now) ctx.wake(node.row.cooled_until_ms)
      else registry.setCooldown(node, 0)
    }
  }

  /** Silent sessions are closed; a node that no longer serves may free a task for one that is second choice. */
  const sweep = (): void => {
    if (ctx.now < state.nextSweep) return ctx.wake(state.nextSweep)
    const silence = 3 * options.heartbeatInterval
    for (const [id, node] of registry.sessions) {
      if (ctx.now - node.seen < silence) {
        // In the order of their last word: the next have not been silent for longer, but for the second that the order is kept by.
        if (ctx.now - node.seen < silence - ORDER_MS) break
        continue
      }
      ctx.close(id, 'silent', 'no heartbeat')
      ctx.log('warn', 'session.silent', {
        session: id,
        node_id: node.row.node_id,
        seconds: toSeconds(ctx.now - node.seen),
      })
      nodeMessages.disconnect(id, false)
    }
    for (const node of registry.takeStopped(ctx.now)) {
      registry.markLanes(node)
      if (node.row.transport === 'rest' && registry.statusOf(node, ctx.now) === 'offline')
        ctx.log('info', 'node.offline', { node_id: node.row.node_id, seconds: toSeconds(ctx.now - node.seen) })
    }
    registry.writeDue(ctx.now, MAX_AT_ONCE)
    state.nextSweep = ctx.now + Math.min(BEAT_MS, options.heartbeatInterval / 2)
    ctx.wake(state.nextSweep)
  }

  /** Writes when we were alive last: often while there is a deadline that it matters to, else to know that we can write. */
  const beat = (): void => {
    if (ctx.now < state.nextBeat) return
    state.nextBeat = ctx.now + (registry.open.size > 0 || store.tasks.counts.pending > 0 ? BEAT_MS : IDLE_BEAT_MS)
    store.saveClock(ctx.now, toSeconds(ctx.wall))
  }

  return {
    tick() {
      ctx.moments.tick(ctx.now, ctx.wall)
      undo.keep(state)
      expireOffers()
      // A lease often ends with the grace. What is then still to be reclaimed was lost, and has not taken too long.
      if (reclaimDisconnected()) expireLeases()
      expireWaits()
      eligibility.tick()
      endCooldowns()
      sweep()
      beat()
    },
    /** Writes what memory is ahead of the file by; for a stop. */
    save() {
      registry.writeAll(ctx.now)
      store.saveClock(ctx.now, toSeconds(ctx.wall))
    },
  }
}
