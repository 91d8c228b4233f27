import { refuse, type Outcome } from '../lib/result.js'
import type { Core } from './core.js'
import type { CoreEvent, Effect, Operation, Results, TurnResult } from './operations.js'

/** At most this many operations share a commit: more would only make the first of them wait longer. */
const MAX_OPERATIONS = 256

/** A page of a list may look at 10,000 rows. */
const LIST_WEIGHT = 64
/** What an operation counts as: a batch of submissions is as many. */
const weightOf = (o: Operation): number => (o.op === 'submit' ? Math.max(1, o.tasks.length) : o.op === 'list' ? LIST_WEIGHT : 1)

/** How the doors call the core. */
export interface Turns {
  /** Resolves after the commit. Never rejects. */
  call<O extends Operation>(operation: O): Promise<Outcome<Results[O['op']]>>
  /** For sessions, whose answers are effects. Keeps the order of calls. */
  send(operation: Operation): void
  /** Whether a node in session held a task at the end of the last turn since the stop. */
  busy(): boolean
  /** Ends the loop. Nothing may be called any more. */
  end(): void
}

export interface TurnsParts {
  core: Core
  /** What a turn sends to sessions, all of it at once, so that one commit becomes one frame for each. */
  deliver(effects: readonly Effect[]): void
  log(events: readonly CoreEvent[]): void
}

/**
 * Collects what one turn of the event loop brings and gives it to the core as one transaction: the group commit, without
 * a timer. Deadlines are looked at the same way: the timer only asks for a `tick`, which runs after everything that has
 * arrived by then was read, so that nobody is declared dead whose sign of life is already here.
 */
export function createTurns({ core, deliver, log }: TurnsParts): Turns {
  let queue: { operation: Operation; settle: ((outcome: Outcome<Results[keyof Results]>) => void) | null }[] = []
  let scheduled = false
  let due = false
  let ended = false
  let busy = false
  let timer: NodeJS.Timeout | undefined
  let wakeAt = Infinity

  const schedule = (): void => {
    if (scheduled) return
    scheduled = true
    setImmediate(runTurn)
  }
  const push = (operation: Operation, settle: (typeof queue)[number]['settle']): void => {
    // After the end only sockets that close late still speak.
    if (ended) return settle?.(refuse('stopping', 'the service is stopping'))
    queue.push({ operation, settle })
    schedule()
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

  function runTurn(): void {
    scheduled = false
    if (ended) return
    // Timers come before sockets in a turn of the event loop: only now is everything queued that had arrived.
    if (due) queue.push({ operation: { op: 'tick' }, settle: null })
    due = false
    let size = 0
    for (let weight = 0; size < queue.length && weight < MAX_OPERATIONS; size++) weight += weightOf(queue[size]?.operation ?? { op: 'tick' })
    const batch = size < queue.length ? queue.splice(0, size) : queue
    if (batch === queue) queue = []
    else schedule()
    const result = turnOrFail(batch.map((b) => b.operation))
    busy = result.busy
    log(result.events)
    batch.forEach((b, i) => {
      const outcome = result.outcomes[i]
      if (outcome !== undefined) b.settle?.(outcome)
    })
    deliver(result.effects)
    wakeIn(result.wakeIn)
  }

  /** A fault of the core itself refuses the turn; it must not end the process, which other turns may still use. */
  const turnOrFail = (operations: Operation[]): TurnResult => {
    try {
      return core.turn(operations)
    } catch (error) {
      const events: CoreEvent[] = [{ level: 'error', event: 'turn.failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) }]
      return { outcomes: operations.map(() => refuse('internal', 'the service could not do this')), effects: [], events, wakeIn: 1000, busy }
    }
  }

  wakeIn(0)
  return {
    // The core answers every operation with the result of its own kind; the map of results says so to the compiler.
    call: <O extends Operation>(operation: O) => new Promise<Outcome<Results[O['op']]>>((resolve) => push(operation, resolve as (o: Outcome<Results[keyof Results]>) => void)),
    send: (operation) => push(operation, null),
    busy: () => busy,
    end() {
      ended = true
      clearTimeout(timer)
    },
  }
}
