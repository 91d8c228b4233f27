import { createServiceClock, systemTime, toSeconds, type TimeSource } from '../../lib/clock.js'
import { done, refuse } from '../../lib/result.js'
import { CANCELLED } from '../../rules/lifecycle.js'
import type { ModelTable } from '../../rules/models.js'
import type { Store } from '../../store/store.js'
import { createAccessControl } from '../access/control.js'
import { createCredentials } from '../access/credentials.js'
import type { Context, CoreOptions } from '../context.js'
import { createDurations } from '../durations.js'
import { createMoments } from '../moments.js'
import { createRegistry, type Registry } from '../nodes/registry.js'
import type { Operation, TaskFigures, TurnResult } from '../operations.js'
import { createFigures } from '../rates/figures.js'
import type { ServedModels } from '../rates/labels.js'
import { createMeter } from '../rates/meter.js'
import { createRunOperation } from '../run-operation.js'
import { createWatches } from '../sessions/watches.js'
import { createTransaction } from './transaction.js'
import { createWalGuard } from './wal-guard.js'

/** The window of `average_inference_time`, ms. */
const DURATION_WINDOW_MS = 3_600_000
/** The longest that a core wants to sleep, ms. */
const MAX_SLEEP_MS = 1000

export interface Core {
  /**
   * Runs the operations in order in one transaction, dispatches what became possible, commits once, and only then gives
   * the outcomes back. An operation that throws is refused alone; when the commit fails all that write are refused with
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
  /** The backups that the service makes by itself: when the newest was made, Unix ms, and how often, ms; null: none. */
  backups?: () => { last_ms: number | null; interval_ms: number } | null
}

/** The synchronous core: owns the task lifecycle, the nodes' slots and sessions, and the store. */
export function createCore({
  store,
  models,
  options,
  debug = true,
  time = systemTime,
  random = Math.random,
  backups = () => null,
}: CoreParts): Core {
  // Behind all that was: no moment of this run is one of the runs before.
  const last = store.loadClock()
  const clock = createServiceClock(time, last === null ? time.wall() : last + 1)
  const { undo } = store
  const watches = createWatches({
    task: store.tasks.result,
    onUnreadable: (task_id, error) => ctx.log('error', 'task.unreadable', { task_id, error }),
    send: (session, message) => ctx.send(session, message),
    undo,
    maxOutput: options.maxOutputBytes,
  })
  const credentials = createCredentials({
    store,
    undo,
    onUnreadable: (token_id) => ctx.log('error', 'token.unreadable', { token_id }),
  })
  const registry = createRegistry(store, models, options.nodeTimeout, undo)
  const now = clock.now()
  const figures = createFigures(servedModels(registry), now)
  const ctx: Context = {
    options,
    store,
    credentials,
    access: createAccessControl(options.access, credentials),
    models,
    time,
    random,
    registry,
    durations: createDurations(DURATION_WINDOW_MS),
    now,
    wall: time.wall(),
    wakeAt: 0,
    stopping: false,
    pendingPerUser: null,
    releasedNodes: new Set(),
    watches,
    moments: createMoments({
      load: store.clockOffsets.all,
      save: store.clockOffsets.add,
      later: (count) => ctx.afterCommit.push(count),
    }),
    figures,
    meter: createMeter({
      ...figures,
      clock: {
        get now() {
          return ctx.now
        },
        get wall() {
          return ctx.wall
        },
      },
      later: (count) => ctx.afterCommit.push(count),
      task: store.tasks.head,
      cancelled: CANCELLED,
    }),
    effects: [],
    events: [],
    paid: new WeakMap(),
    noCallback: new WeakSet(),
    settlementsDue: false,
    callbacksDue: false,
    undo,
    afterCommit: [],
    savepoint: (change) => transaction.savepoint(change),
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
  const walGuard = createWalGuard(store.wal, options.maxWalBytes, time)
  const runOperation = createRunOperation(ctx, {
    watches,
    storage: {
      isWritable: () => transaction.brokenReason() === null && walGuard.refusal() === null,
      backups,
    },
    health() {
      const broken = transaction.brokenReason()
      if (broken !== null) return refuse('unavailable', broken)
      return ctx.stopping ? refuse('stopping', 'the service is stopping') : done({ warning: walGuard.warning() })
    },
  })
  const transaction = createTransaction(ctx, { runOperation, watches, clock, walGuard })

  const start = (): void => {
    store.tasks.loadCounts()
    store.settlements.loadCounts()
    store.callbacks.loadCounts()
    credentials.load(ctx.wall)
    if (options.maxPendingPerUser > 0 || ctx.access.isOn()) runOperation.countPendingPerUser()
    for (const { ms, ended_ms } of store.attempts.recentDurations().reverse()) ctx.durations.add(ms, ended_ms)
    // The clock stood still while we were down, so deadlines have moved by themselves; every lease and every
    // connection that was there gets time to come back.
    const graceEnd = ctx.now + options.restartGrace
    store.begin()
    store.attempts.extendLeases(graceEnd)
    store.saveClock(ctx.now, toSeconds(ctx.wall))
    ctx.moments.begin(ctx.now, ctx.wall)
    store.commit()
    registry.loadNodes()
    registry.loadAttempts()
    for (const node of registry.nodes.values()) {
      if ([...node.held.values()].some((a) => a.polled === 0)) registry.setReclaim(node, graceEnd, 'coordinator')
    }
    runOperation.loadFigures()
    undo.clear()
  }
  start()

  const taskFigures = (): TaskFigures => {
    const { pending, in_progress } = store.tasks.counts
    const places = registry.sessions.size === 0 ? null : registry.places()
    return { waiting: pending, working: in_progress, ended: store.tasks.ends(), places }
  }

  return {
    turn(operations) {
      const began = time.monotonic()
      ctx.now = clock.now()
      ctx.wall = time.wall()
      if (operations.some((o) => o.op === 'tick')) ctx.wakeAt = ctx.now + MAX_SLEEP_MS
      try {
        const { outcomes, commitMs, damaged } = transaction.turn(operations)
        runOperation.afterTurn()
        const access = credentials.takeNews()
        const feed = figures.feed.take()
        const traced = figures.tracedEnds.take()
        const written = store.takeWritten()
        return {
          ...(access === null ? {} : { access }),
          ...(ctx.settlementsDue ? { settlementsDue: true } : {}),
          ...(ctx.callbacksDue ? { callbacksDue: true } : {}),
          ...(feed === null ? {} : { feed }),
          ...(traced === null ? {} : { traced }),
          ...(written === null ? {} : { written }),
          ...(damaged === null ? {} : { damaged }),
          outcomes,
          effects: ctx.effects,
          events: ctx.events,
          wakeIn: Math.min(MAX_SLEEP_MS, Math.max(0, ctx.wakeAt - ctx.now)),
          tasks: taskFigures(),
          busy: ctx.stopping && [...registry.sessions.values()].some((n) => n.held.size > 0),
          took: { all: time.monotonic() - began, commit: commitMs },
        }
      } catch (error) {
        transaction.abandon() // a fault of ours: nothing of this turn may leave with the next
        throw error
      } finally {
        undo.clear()
        ctx.effects = []
        ctx.events = []
        ctx.settlementsDue = false
        ctx.callbacksDue = false
        ctx.afterCommit = []
      }
    },
    close() {
      if (transaction.brokenReason() !== null) return
      ctx.now = clock.now()
      ctx.wall = time.wall()
      store.begin()
      runOperation.saveAll()
      store.commit()
    },
  }
}

/** So many nodes of a model are looked at for one that has completed a task. */
const MAX_LOOKED_AT = 64

/** Who serves a model, as far as its label in figures hangs on it. */
const servedModels = (registry: Registry): ServedModels => ({
  isListed: (key) => registry.isServed([`name:${key}`]),
  isProven(key) {
    let looked = 0
    for (const { row } of registry.servedBy(`name:${key}`) ?? []) {
      if (row.successes > 0) return true
      if (++looked === MAX_LOOKED_AT) return false
    }
    return false
  },
  spellingOf: registry.spellingOf,
})
