import { refuse, type Outcome } from '../../lib/result.js'
import { refusalEffects, traitsOf } from '../operation-traits.js'
import type { CoreRunner } from './runner.js'
import type { CoreEvent, Effect, Operation, Results } from '../operations.js'
import { createBatchSize } from './batch-size.js'

/** Submissions that have waited so long, ms, are taken in smaller parts, so that what is at work is settled meanwhile. */
const BEHIND = 50
/** The share of a turn that is theirs then: what is settled goes on at full speed. */
const SHARE_BEHIND = 1 / 4
/** Submissions that wait longer than this, ms, for as long as LASTING, mean that more comes than can be done: what comes then is refused. */
const TOO_LONG = 100
const LASTING = 500
/** And so they are, whatever was before, when they wait so long, ms. */
const FAR_TOO_LONG = 1000
/** What is said to those that are refused then. */
export const BUSY = 'the service has more to do than it can; submit again in a few seconds'

const isRead = (operation: Operation): boolean => traitsOf(operation).queue === 'reads'

interface Queued {
  operation: Operation
  settle: ((outcome: Outcome<Results[keyof Results]>) => void) | null
  /** ms, monotonic. */
  at: number
}

/** How the doors call the core. */
export interface Scheduler {
  /** Resolves after the commit. Never rejects. */
  call<O extends Operation>(operation: O): Promise<Outcome<Results[O['op']]>>
  /** For sessions, whose answers are effects. Keeps the order of calls. */
  send(operation: Operation): void
  /** Whether submissions are refused now, because too many wait. */
  overloaded(): boolean
  /** Whether a node in session held a task at the end of the last turn since the stop. */
  busy(): boolean
  /** Ends the loop. Nothing may be called any more. */
  end(): void
}

export interface SchedulerParts {
  runner: Pick<CoreRunner, 'turn' | 'maxInFlight'>
  /** What a turn sends to sessions, all of it at once, so that one commit becomes one frame for each. */
  deliver(effects: readonly Effect[]): void
  log(events: readonly CoreEvent[]): void
  /** ms, monotonic; for how long something has waited. */
  now?: () => number
}

/**
 * Collects what one turn of the event loop brings and gives it to the core as one transaction: the group commit, without
 * a timer. Deadlines are looked at the same way: the timer only asks for a `tick`, which runs after everything that has
 * arrived by then was read, so that nobody is declared dead whose sign of life is already here.
 *
 * Under more load than can be served, what is at work goes before what is new, and what is new is refused before it waits long.
 */
export function createScheduler({
  runner: host,
  deliver,
  log,
  now = () => performance.now(),
}: SchedulerParts): Scheduler {
  let queue: Queued[] = []
  /** Submissions, and what their sessions ask besides. */
  let intake: Queued[] = []
  const size = createBatchSize()
  /** The next turn: none is asked for, one comes after the pause between two commits, or one comes at once. */
  let next: 'none' | 'paused' | 'soon' = 'none'
  let pauseTimer: NodeJS.Timeout | undefined
  let due = false
  let ended = false
  let busy = false
  let timer: NodeJS.Timeout | undefined
  let wakeAt = Infinity

  const isPaused = (): boolean => size.pause(now()) >= 1
  /** @param read whether what asks for a turn waits for no commit */
  const schedule = (read = false): void => {
    if (next === 'soon' || (next === 'paused' && !read)) return
    clearTimeout(pauseTimer)
    const paused = !read && isPaused()
    next = paused ? 'paused' : 'soon'
    if (paused) pauseTimer = setTimeout(runTurn, size.pause(now()))
    else setImmediate(runTurn)
  }
  /** How long the oldest of the submissions has waited, ms. */
  const waited = (): number => (intake[0] === undefined ? 0 : now() - intake[0].at)
  /** Since when they have waited too long; null while they do not. A burst is none of it: it is over before long. */
  let late: number | null = null
  const overloaded = (): boolean => {
    const wait = waited()
    if (wait > TOO_LONG) late ??= now()
    else if (wait < TOO_LONG / 2) late = null
    return wait > FAR_TOO_LONG || (wait > TOO_LONG && late !== null && now() - late >= LASTING)
  }
  const refuseNow = (operation: Operation, settle: Queued['settle']): void => {
    settle?.(refuse('unavailable', BUSY))
    deliver(refusalEffects(operation, 'unavailable', BUSY))
  }
  const push = (operation: Operation, settle: Queued['settle']): void => {
    // After the end only sockets that close late still speak.
    if (ended) return settle?.(refuse('stopping', 'the service is stopping'))
    const traits = traitsOf(operation)
    if (traits.newWork && overloaded()) return refuseNow(operation, settle)
    const waiting = traits.queue === 'intake' ? intake : queue
    waiting.push({ operation, settle, at: now() })
    schedule(traits.queue === 'reads')
  }
  const wakeIn = (ms: number): void => {
    const at = Date.now() + ms
    // The deadline moved closer, or the timer has fired: an earlier wake than needed is harmless.
    if (at >= wakeAt - 1) return
    clearTimeout(timer)
    wakeAt = at
    timer = setTimeout(() => {
      wakeAt = Infinity
      due = true
      schedule()
    }, ms)
  }

  /** Turns that the core has not answered yet. */
  let running = 0

  /** What the next turn does, and its weight. */
  const takeBatch = (): { batch: readonly Queued[]; weight: number } => {
    const room = size.room()
    if (next === 'soon' && isPaused()) {
      const reads = takeFrom(
        queue.filter(({ operation }) => isRead(operation)),
        room,
      )
      const taken = new Set(reads.taken)
      queue = queue.filter((q) => !taken.has(q))
      return { batch: reads.taken, weight: reads.weight }
    }
    // Timers come before sockets in a turn of the event loop: only now is everything queued that had arrived.
    if (due) queue.push({ operation: { op: 'tick' }, settle: null, at: 0 })
    due = false
    overloaded() // looks at the clock also while nothing new comes
    const behind = waited() > BEHIND
    const theirs = Math.ceil(room * SHARE_BEHIND)
    const first = takeFrom(queue, behind ? room - theirs : room)
    const second = takeFrom(intake, behind ? theirs : room - first.weight)
    queue = first.rest
    intake = second.rest
    return {
      batch: second.taken.length === 0 ? first.taken : [...first.taken, ...second.taken],
      weight: first.weight + second.weight,
    }
  }

  function runTurn(): void {
    if (ended || running >= host.maxInFlight) {
      next = 'none' // an answer schedules the next
      return
    }
    const { batch, weight } = takeBatch()
    next = 'none'
    if (queue.length > 0 || intake.length > 0 || due) schedule()
    if (batch.length === 0) return
    running++
    host.turn(
      batch.map((b) => b.operation),
      (result) => {
        running--
        size.learn(batch.length, weight, result.took, now())
        if (queue.length > 0 || intake.length > 0 || due) schedule()
        busy = result.busy
        log(result.events)
        batch.forEach((b, i) => {
          const outcome = result.outcomes[i]
          if (outcome !== undefined) b.settle?.(outcome)
        })
        deliver(result.effects)
        wakeIn(result.wakeIn)
      },
    )
  }

  wakeIn(0)
  return {
    // The core answers every operation with the result of its own kind; the map of results says so to the compiler.
    call: <O extends Operation>(operation: O) =>
      new Promise<Outcome<Results[O['op']]>>((resolve) =>
        push(operation, resolve as (o: Outcome<Results[keyof Results]>) => void),
      ),
    send: (operation) => push(operation, null),
    overloaded,
    busy: () => busy,
    end() {
      ended = true
      clearTimeout(timer)
      clearTimeout(pauseTimer)
    },
  }
}

/** Takes operations from the front of a queue while there is room for their weight; one that has begun is taken, however heavy. */
function takeFrom(queue: Queued[], room: number): { taken: Queued[]; rest: Queued[]; weight: number } {
  let n = 0
  let weight = 0
  for (const { operation } of queue) {
    if (weight >= room) break
    weight += traitsOf(operation).weight(operation)
    n++
  }
  return n === queue.length
    ? { taken: queue, rest: [], weight }
    : { taken: queue.slice(0, n), rest: queue.slice(n), weight }
}
