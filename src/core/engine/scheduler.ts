import type { AddressKeys } from '../../lib/address.js'
import { refuse, type Outcome } from '../../lib/result.js'
import { refusalEffects, traitsOf } from '../operation-traits.js'
import type { AccessState, CoreEvent, Effect, Operation, Results, TurnResult } from '../operations.js'
import { createBatchSize } from './batch-size.js'
import { ALL, createBacklog, createOverload, OVERLOADED, type Admitted } from './overload.js'
import type { CoreRunner } from './runner.js'
import type { TracedEnd } from '../rates/traced-ends.js'
import type { FeedItem } from '../../wire/watch-events.js'

/** When the oldest submission has waited longer than this, submissions are taken in smaller parts: what is at work goes on. */
const INTAKE_LATE_MS = 50
/** The share of a batch that submissions get then. */
const LATE_INTAKE_SHARE = 1 / 4

/** The share of a batch that reads get before everything else: what an operator asks does not wait behind what strangers say. */
const READS_SHARE = 1 / 4

/** What an operation of weight 1 takes, with its part of the commit and of its answer, ms. */
const WEIGHT_MS = 0.03

/**
 * Where syncs run beside the core: with so many operations the next turn waits neither for the sync of the last one nor for more that would
 * share its own, and so many turns may wait for theirs.
 */
const WORTH_A_COMMIT = 64
const MAX_BESIDE = 8

interface Queued {
  operation: Operation
  settle: ((outcome: Outcome<Results[keyof Results]>) => void) | null
  /** ms, monotonic. */
  at: number
}
const NOTHING: { batch: Queued[]; weight: number } = { batch: [], weight: 0 }
const isRead = ({ operation }: Queued): boolean => traitsOf(operation).queue === 'reads'

/** How the doors call the core. */
export interface Scheduler {
  /** Resolves after the commit. Never rejects. @param from the address that its time is counted for */
  call<O extends Operation>(operation: O, from?: AddressKeys): Promise<Outcome<Results[O['op']]>>
  /** For sessions, whose answers are effects. Keeps the order of calls. */
  send(operation: Operation, from?: AddressKeys): void
  /** Whether submissions are refused now, because too many wait. */
  overloaded(): boolean
  /** Whether a node in session held a task at the end of the last turn since the stop. */
  busy(): boolean
  /** Ends the loop. Nothing may be called any more. */
  end(): void
}

export interface SchedulerParts {
  /** `behind`: turns wait for the log, so that new work is refused. */
  runner: Pick<CoreRunner, 'turn' | 'maxInFlight'> & { behind?(): boolean }
  /** What a turn sends to sessions, all of it at once, so that one commit becomes one frame for each. */
  deliver(effects: readonly Effect[]): void
  log(events: readonly CoreEvent[]): void
  /** Told who has access, before anything of the turn is that has changed it. */
  access?(state: AccessState): void
  /** Told that settlements are due. */
  settlementsDue?(): void
  /** Told that callbacks are due. */
  callbacksDue?(): void
  /** Told what the live feed is to tell. */
  feed?(items: readonly FeedItem[]): void
  /** Told which tasks of traces have ended. */
  traced?(ends: readonly TracedEnd[]): void
  /** Told how each turn went. */
  measured?(took: TurnResult['took'], operations: number): void
  /** Told what an operation is going to take, ms. */
  charge?(from: AddressKeys, ms: number): void
  /** ms, monotonic; for how long something has waited. */
  now?: () => number
  /** How long the event loop was active so far, ms. */
  active?: () => number
}

/**
 * Collects what one turn of the event loop brings and gives it to the core as one batch, which is one transaction: the group
 * commit, without a timer. Deadlines are looked at the same way: the timer only asks for a `tick`, which runs after everything
 * that has arrived by then was read, so that nobody is declared dead whose sign of life is already here.
 *
 * Under more load than can be served, what is at work goes before what is new, and what is new is refused before it waits long.
 * Where a commit is dear, the next waits a little for those that will share it: not what only reads, nor many beside a sync.
 */
export function createScheduler({
  runner,
  deliver,
  log,
  access,
  settlementsDue,
  callbacksDue,
  feed,
  traced,
  measured,
  charge,
  now = () => performance.now(),
  active = () => performance.eventLoopUtilization().active,
}: SchedulerParts): Scheduler {
  let queue: Queued[] = []
  /** Submissions, and what their sessions ask besides. */
  let intake: Queued[] = []
  const batchSize = createBatchSize()
  /** The next turn: none is asked for, one comes after the pause between two commits, or one comes at once. */
  let next: 'none' | 'paused' | 'soon' = 'none'
  let pauseTimer: NodeJS.Timeout | undefined
  /** Turns that the core has not answered yet. */
  let inFlight = 0
  /** Whether syncs run beside the core. */
  let beside = false
  let ended = false
  let busy = false
  /** A `tick` is due; when the timer asks for one, ms of the wall clock. */
  let tickDue = false
  let tickTimer: NodeJS.Timeout | undefined
  let tickAt = Infinity

  /** When new work that was left is looked at again. */
  let lookTimer: NodeJS.Timeout | undefined
  let stopping = false

  const oldestWait = (): number => (intake[0] === undefined ? 0 : now() - intake[0].at)
  const backlog = createBacklog(now, active)
  const crowded = createOverload(oldestWait, now)
  const overloaded = (): boolean => crowded() || runner.behind?.() === true
  /** How much of the new work may be taken now: all of it once the service stops, so that each is answered. */
  const admitted = (): Admitted => {
    const first = intake.find(({ operation }) => traitsOf(operation).newWork)
    if (first === undefined || stopping) return ALL
    return backlog.admits(traitsOf(first.operation).weight(first.operation), now() - first.at)
  }
  const hasIntake = ({ tasks }: Admitted): boolean =>
    intake[0] !== undefined && (tasks > 0 || !traitsOf(intake[0].operation).newWork)
  const areMany = (): boolean => queue.length + (hasIntake(admitted()) ? intake.length : 0) >= WORTH_A_COMMIT
  const isPaused = (): boolean => batchSize.pause(now()) >= 1 && !(beside && areMany())

  /** Asks for a turn. @param read for what waits for no commit */
  const schedule = (read = false): void => {
    if (next === 'soon') return
    const paused = !read && isPaused()
    if (paused && next === 'paused') return
    clearTimeout(pauseTimer)
    next = paused ? 'paused' : 'soon'
    if (paused) pauseTimer = setTimeout(runTurn, batchSize.pause(now()))
    else setImmediate(runTurn)
  }

  const push = (operation: Operation, settle: Queued['settle'], from?: AddressKeys): void => {
    // After the end only sockets that close late still speak.
    if (ended) return settle?.(refuse('stopping', 'the service is stopping'))
    if (operation.op === 'stop') stopping = true
    const traits = traitsOf(operation)
    if (traits.newWork && overloaded()) {
      settle?.(refuse('unavailable', OVERLOADED))
      return deliver(refusalEffects(operation, 'unavailable', OVERLOADED))
    }
    if (from !== undefined && from.length > 0) charge?.(from, traits.weight(operation) * WEIGHT_MS)
    const waiting = traits.queue === 'intake' ? intake : queue
    waiting.push({ operation, settle, at: now() })
    schedule(traits.queue === 'reads')
  }

  const tickIn = (ms: number): void => {
    if (ended) return
    const at = Date.now() + ms
    // The deadline moved closer, or the timer has fired: an earlier tick than needed is harmless.
    if (at >= tickAt - 1) return
    clearTimeout(tickTimer)
    tickAt = at
    tickTimer = setTimeout(() => {
      tickAt = Infinity
      tickDue = true
      schedule()
    }, ms)
  }

  /** Reads only, without what waits before them. */
  const takeReads = (room: number) => {
    const reads = takeFrom(queue.filter(isRead), room)
    const taken = new Set(reads.taken)
    queue = queue.filter((q) => !taken.has(q))
    return { batch: reads.taken, weight: reads.weight }
  }
  /** What the next turn does, and its weight. */
  const takeBatch = () => {
    // Timers come before sockets in a turn of the event loop: only now is everything queued that had arrived.
    if (tickDue) queue.push({ operation: { op: 'tick' }, settle: null, at: 0 })
    tickDue = false
    overloaded() // looks at the clock also while nothing new comes
    const room = batchSize.room()
    const admission = admitted()
    const late = oldestWait() > INTAKE_LATE_MS && hasIntake(admission)
    const reserved = Math.ceil(room * LATE_INTAKE_SHARE)
    const isCrowded = queue.length > room
    const reads = isCrowded ? takeReads(room * READS_SHARE) : NOTHING
    const first = takeFrom(queue, (late ? room - reserved : room) - reads.weight)
    const left = room - reads.weight - first.weight
    const second = takeFrom(intake, late ? reserved : left, admission.tasks)
    backlog.takes(second.newTasks)
    queue = first.rest
    intake = second.rest
    const parts = [reads.batch, first.taken, second.taken].filter((part) => part.length > 0)
    const batch = parts.length === 1 ? (parts[0] ?? []) : parts.flat()
    return { batch, weight: reads.weight + first.weight + second.weight }
  }

  /**
   * How many turns may be on their way now. During a sync none is begun for a few operations: each commit has its price, so that they
   * share the one after the sync.
   */
  const maxInFlight = (): number => (!beside ? runner.maxInFlight : areMany() ? MAX_BESIDE : 1)

  function runTurn(): void {
    const readsOnly = next === 'soon' && isPaused()
    next = 'none'
    if (ended || inFlight >= maxInFlight()) return // an answer asks for the next turn
    const { batch, weight } = readsOnly ? takeReads(batchSize.room()) : takeBatch()
    scheduleRest()
    if (batch.length === 0) return
    inFlight++
    runner.turn(
      batch.map((b) => b.operation),
      (result) => {
        inFlight--
        batchSize.learn(batch.length, weight, result.took, now())
        if (result.took.commit > 0) beside = result.beside === true
        backlog.learn(result.tasks, { operations: batch.length, ms: result.took.all - result.took.commit })
        scheduleRest()
        busy = result.busy
        if (result.access !== undefined) access?.(result.access)
        // Somebody waits for these; for what comes behind them nobody does.
        deliver(result.effects)
        batch.forEach((b, i) => {
          const outcome = result.outcomes[i]
          if (outcome !== undefined) b.settle?.(outcome)
        })
        log(result.events)
        if (result.settlementsDue === true) settlementsDue?.()
        if (result.callbacksDue === true) callbacksDue?.()
        if (result.feed !== undefined) feed?.(result.feed)
        if (result.traced !== undefined) traced?.(result.traced)
        measured?.(result.took, batch.length)
        tickIn(result.wakeIn)
      },
    )
  }
  const scheduleRest = (): void => {
    if (ended) return
    if (queue.length > 0 || tickDue) return schedule()
    const admission = admitted()
    if (hasIntake(admission)) return schedule()
    if (intake.length === 0 || lookTimer !== undefined) return
    lookTimer = setTimeout(() => {
      lookTimer = undefined
      scheduleRest()
    }, admission.lookIn)
  }

  tickIn(0)
  return {
    // The core answers every operation with the result of its own kind; the map of results says so to the compiler.
    call: <O extends Operation>(operation: O, from?: AddressKeys) =>
      new Promise<Outcome<Results[O['op']]>>((resolve) =>
        push(operation, resolve as (o: Outcome<Results[keyof Results]>) => void, from),
      ),
    send: (operation, from) => push(operation, null, from),
    overloaded,
    busy: () => busy,
    end() {
      ended = true
      clearTimeout(tickTimer)
      clearTimeout(pauseTimer)
      clearTimeout(lookTimer)
    },
  }
}

/**
 * Takes operations from the front of a queue while there is room for their weight; one that has begun is taken, however heavy.
 * @param most new tasks: none if it is 0, and after the first operation that brings some only what fits
 */
function takeFrom(queue: Queued[], room: number, most = Infinity) {
  let n = 0
  let weight = 0
  let newTasks = 0
  for (const { operation } of queue) {
    if (weight >= room) break
    const traits = traitsOf(operation)
    const more = traits.weight(operation)
    if (traits.newWork) {
      if (most <= 0 || (newTasks > 0 && newTasks + more > most)) break
      newTasks += more
    }
    weight += more
    n++
  }
  return n === queue.length
    ? { taken: queue, rest: [], weight, newTasks }
    : { taken: queue.slice(0, n), rest: queue.slice(n), weight, newTasks }
}
