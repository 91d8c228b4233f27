import { createServiceClock, systemTime, toSeconds, type TimeSource } from '../../lib/clock.js'
import { done, refuse, type Outcome } from '../../lib/result.js'
import { createRegistry } from '../nodes/registry.js'
import { isStoreFault } from '../../store/faults.js'
import type { Store } from '../../store/store.js'
import type { ModelTable } from '../../rules/models.js'
import type { Context, CoreOptions } from '../context.js'
import { UndispatchableTask, UnwritableTask } from '../dispatch/dispatch.js'
import { createDurations } from '../durations.js'
import { refusalEffects } from '../operation-traits.js'
import { createRunOperation } from '../run-operation.js'
import type { Operation, Results, TurnResult } from '../operations.js'
import { createWalGuard } from './wal-guard.js'
import { createWatches } from '../sessions/watches.js'

/** The window of `average_inference_time`, ms. */
const DURATION_WINDOW = 3_600_000
/** After a commit failed nothing is written for this long, ms: a full disk is not asked again and again. */
const WRITE_PAUSE = 250

export interface Core {
  /**
   * Runs the operations in order in one transaction, dispatches what became possible, commits once, and only then gives
   * the outcomes back. An operation that throws fails alone (the others are run again without it); when the commit fails all of them are refused with
   * `unavailable` and nothing has happened.
   */
  turn(operations: readonly Operation[]): TurnResult
  /** Writes what memory is ahead of the file by; the last call. */
  close(): void
}

export interface CoreParts {
  store: Store
  models: ModelTable
  options: CoreOptions
  /** Whether events of level `debug` are wanted: what happens to every single task. */
  debug?: boolean
  time?: TimeSource
  random?: () => number
}

/** The synchronous core: owns the task lifecycle, the nodes' slots and sessions, and the store. */
export function createCore({
  store,
  models,
  options,
  debug = true,
  time = systemTime,
  random = Math.random,
}: CoreParts): Core {
  const clock = createServiceClock(time, store.loadClock() ?? time.wall())
  const watching = createWatches({
    task: store.tasks.get,
    send: (session, message) => ctx.send(session, message),
    undo: (step) => ctx.undo.push(step),
    maxOutput: options.maxOutputBytes,
  })
  const ctx: Context = {
    options,
    store,
    models,
    time,
    random,
    registry: createRegistry(store, models, options.nodeTimeout, (step) => ctx.undo.push(step)),
    durations: createDurations(DURATION_WINDOW),
    now: clock.now(),
    wall: time.wall(),
    wakeAt: 0,
    stopping: false,
    pendingPerUser: options.maxPendingPerUser > 0 ? new Map() : null,
    releasedNodes: new Set(),
    watches: watching,
    effects: [],
    events: [],
    afterCommit: [],
    undo: [],
    wake(at) {
      if (at < this.wakeAt) this.wakeAt = at
    },
    send(session, message) {
      this.effects.push({ session, message })
    },
    close(session, close, reason) {
      this.effects.push({ session, close, reason })
    },
    log(level, event, fields) {
      if (level === 'debug' && !debug) return
      this.events.push({ level, event, ...fields })
    },
  }
  const { registry } = ctx
  const walGuard = createWalGuard(store.wal, options.maxWalBytes, time)
  /** Why the store cannot be written now; null while it can. */
  let broken: string | null = null
  let brokenAt = 0
  const {
    run,
    writesNothing,
    finish,
    discard: forget,
    withoutDelay,
    deadlines,
  } = createRunOperation(ctx, {
    watching,
    health() {
      if (broken !== null) return refuse('unavailable', broken)
      return ctx.stopping ? refuse('stopping', 'the service is stopping') : done({ warning: walGuard.warning() })
    },
  })
  /** Of this turn, ms. */
  let commitTook = 0
  /** Memory is not what the file says: the last transaction was undone and the file could not be read. */
  let mustReload = false

  const reload = (): void => {
    store.tasks.loadCounts()
    registry.loadAttempts()
    mustReload = false
  }

  const start = (): void => {
    registry.loadNodes()
    reload()
    // Kept by undo steps from here on: to count anew costs a look at everything that waits.
    if (ctx.pendingPerUser !== null)
      for (const { user_address, n } of store.tasks.pendingPerUser()) ctx.pendingPerUser.set(user_address, n)
    for (const { ms, ended_ms } of store.attempts.recentDurations().reverse()) ctx.durations.add(ms, ended_ms)
    // The clock stood still while we were down, so deadlines have moved by themselves; every lease and every
    // connection that was there gets time to come back.
    const graceEnd = ctx.now + options.restartGrace
    store.begin()
    store.attempts.extendLeases(graceEnd)
    store.saveClock(ctx.now, toSeconds(ctx.wall))
    store.commit()
    registry.loadAttempts()
    for (const node of registry.nodes.values()) {
      if ([...node.held.values()].some((a) => a.polled === 0)) registry.setReclaim(node, graceEnd, 'coordinator')
    }
    ctx.undo.length = 0
  }
  start()

  const runOrThrow = (o: Operation): Outcome<Results[keyof Results]> => {
    try {
      return run(o)
    } catch (error) {
      throw isStoreFault(error) ? error : new OperationFailed(o, error)
    }
  }

  /** Closes drained sessions that hold nothing more: last, so that what settled their tasks goes first. */
  const closeDrained = (): void => {
    for (const { session, held } of ctx.releasedNodes) {
      if (session?.draining === true && held.size === 0) ctx.close(session.id, 'drained', 'drained')
    }
    ctx.releasedNodes.clear()
  }

  const attempt = (operations: readonly Operation[]): TurnResult['outcomes'] => {
    try {
      walGuard.check()
      const refusal = walGuard.refusal()
      if (refusal !== null) throw new Error(refusal)
      if (mustReload) reload()
      store.begin()
      const outcomes = operations.map(runOrThrow)
      finish()
      watching.publish()
      closeDrained()
      // A turn that writes nothing must not pass for proof that there is room again.
      if (broken !== null) store.saveClock(ctx.now, toSeconds(ctx.wall))
      store.tasks.saveCounts()
      const before = time.monotonic()
      store.commit()
      commitTook += time.monotonic() - before
      for (const count of ctx.afterCommit.splice(0)) count()
      if (broken !== null) ctx.log('info', 'store.recovered')
      broken = null
      clock.release()
      return outcomes
    } catch (error) {
      abandon()
      if (error instanceof OperationFailed) return takeApart(operations, error)
      if (error instanceof UnwritableTask) return withoutDelay(() => attempt(operations))
      if (error instanceof UndispatchableTask) {
        const outcomes = attempt(operations)
        ctx.log('error', 'task.inconsistent', { task_id: error.taskId, error: error.message })
        return outcomes
      }
      if (broken === null) ctx.log('error', 'store.unwritable', { error: messageOf(error) })
      broken = `the database cannot be written: ${messageOf(error)}`
      brokenAt = time.monotonic()
      clock.hold() // no deadline passes while nothing can be done about it
      return withoutStore(operations)
    }
  }

  /** Everything a failed transaction leaves behind in memory is taken back. */
  const abandon = (): void => {
    // What was to leave goes first: nothing that is taken back below may be told to anybody, whatever fails on the way.
    ctx.effects.length = 0
    ctx.events.length = 0
    ctx.afterCommit.length = 0
    mustReload = true
    forget()
    const steps = [...ctx.undo.splice(0).reverse(), () => store.rollback(), reload]
    for (const step of steps) {
      try {
        step()
      } catch (error) {
        ctx.log('error', 'undo.failed', { error: messageOf(error) }) // the next attempt begins with a reload
      }
    }
  }

  /** One operation has a fault of its own: it fails alone, the others run without it. */
  const takeApart = (operations: readonly Operation[], failed: OperationFailed): TurnResult['outcomes'] => {
    const outcomes = attempt(operations.filter((o) => o !== failed.operation))
    ctx.log('error', 'operation.failed', {
      op: failed.operation.op,
      error: failed.message,
      stack: failed.cause instanceof Error ? (failed.cause.stack ?? null) : null,
    })
    refuseSession(
      failed.operation,
      'internal',
      'the coordinator could not do this; its operator finds the cause in the log',
    )
    outcomes.splice(operations.indexOf(failed.operation), 0, refuse('internal', 'the service could not do this'))
    return outcomes
  }

  const refuseSession = (o: Operation, code: 'internal' | 'unavailable', message: string): void => {
    ctx.effects.push(...refusalEffects(o, code, message))
  }

  /** Dispatches what operations that wrote nothing made possible; a failure takes nothing back of what they answered. */
  const dispatchAlone = (): void => {
    const { effects, events } = ctx
    ctx.effects = []
    ctx.events = []
    attempt([])
    ctx.effects = [...effects, ...ctx.effects]
    ctx.events = [...events, ...ctx.events]
  }

  const runInMemory = (o: Operation): Outcome<Results[keyof Results]> => {
    try {
      return run(o)
    } catch (error) {
      ctx.log('error', 'operation.failed', { op: o.op, error: messageOf(error) })
      const refusal = isStoreFault(error)
        ? refuse('unavailable', `the database cannot be read: ${messageOf(error)}; try again later`)
        : refuse('internal', 'the service could not do this')
      ctx.effects.push(...refusalEffects(o, isStoreFault(error) ? 'unavailable' : 'internal', refusal.message))
      return refusal
    }
  }

  /** While the store cannot be written: what needs no writing goes on, the rest is refused. */
  const withoutStore = (operations: readonly Operation[]): TurnResult['outcomes'] =>
    operations.map((o) => {
      if (writesNothing(o)) return runInMemory(o)
      // That a session ended must not be forgotten; what it gave back is taken back after its grace.
      if (o.op === 'nodeDisconnected') return run({ ...o, returned: false })
      const why = broken ?? 'the database cannot be written'
      refuseSession(o, 'unavailable', `${why}; send it again`)
      return refuse('unavailable', `${why}; try again later`)
    })

  const operate = (operations: readonly Operation[]): TurnResult['outcomes'] => {
    if (broken !== null && time.monotonic() - brokenAt < WRITE_PAUSE) {
      const outcomes = withoutStore(operations)
      closeDrained()
      return outcomes
    }
    if (!operations.every(writesNothing)) return attempt(operations)
    const outcomes = operations.map(runInMemory)
    closeDrained()
    ctx.undo.length = 0
    if (broken === null && (registry.dirtyLanes.size > 0 || mustReload)) dispatchAlone()
    return outcomes
  }

  return {
    turn(operations) {
      const began = time.monotonic()
      commitTook = 0
      ctx.now = clock.now()
      ctx.wall = time.wall()
      if (operations.some((o) => o.op === 'tick')) ctx.wakeAt = ctx.now + 1000
      let outcomes: TurnResult['outcomes']
      try {
        outcomes = operate(operations)
      } catch (error) {
        abandon() // a fault of ours: nothing of this turn may leave with the next
        ctx.effects = []
        throw error
      }
      ctx.undo.length = 0
      const { effects, events } = ctx
      ctx.effects = []
      ctx.events = []
      return {
        outcomes,
        effects,
        events,
        wakeIn: Math.min(1000, Math.max(0, ctx.wakeAt - ctx.now)),
        busy: ctx.stopping && [...registry.sessions.values()].some((n) => n.held.size > 0),
        took: { all: time.monotonic() - began, commit: commitTook },
      }
    },
    close() {
      if (broken !== null) return
      ctx.now = clock.now()
      ctx.wall = time.wall()
      store.begin()
      deadlines.save()
      store.commit()
    },
  }
}

/** An operation threw something that is not the store's fault. */
class OperationFailed extends Error {
  constructor(
    readonly operation: Operation,
    override readonly cause: unknown,
  ) {
    super(messageOf(cause))
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
