import { toSeconds, type ServiceClock } from '../../lib/clock.js'
import { refuse, type Outcome } from '../../lib/result.js'
import { isDamage, isStoreFault } from '../../store/faults.js'
import type { Context } from '../context.js'
import { UndispatchableTask } from '../dispatch/dispatch.js'
import { refusalEffects } from '../operation-traits.js'
import type { Operation, Results, TurnResult } from '../operations.js'
import type { RunOperation } from '../run-operation.js'
import type { Watches } from '../sessions/watches.js'
import { createMarks, messageOf, stackOf, START } from './marks.js'
import type { WalGuard } from './wal-guard.js'

/** After a commit failed nothing is written for this long, ms: a full disk is not asked again and again. */
const WRITE_PAUSE_MS = 250
/** How many tasks that cannot be dispatched one turn passes over. */
const MAX_UNDISPATCHABLE = 100

type Outcomes = TurnResult['outcomes']
type AnyOutcome = Outcome<Results[keyof Results]>

export interface TransactionParts {
  runOperation: RunOperation
  watches: Watches
  clock: ServiceClock
  walGuard: WalGuard
}

/**
 * One turn: operations in, outcomes out after the commit.
 *
 * 1. Operations that only read or change memory need no commit; they run as they are.
 * 2. The fast way: all operations of the turn in one transaction, then dispatch, one commit, one fsync.
 * 3. What is sent to sessions, and what is counted, waits for the commit.
 * 4. When something throws, file and memory are put back to how they were: a ROLLBACK and the undo log.
 * 5. Was it no fault of the store, the same operations take the careful way: each in its own savepoint, with its own mark in
 *    the undo log, and nothing of it put off. Who fails is refused alone; still one commit for all others.
 * 6. When the file cannot be written, or the careful way fails too, every operation that writes is refused `unavailable`, and
 *    so is the next for WRITE_PAUSE_MS. What needs no writing goes on; the service clock stands still.
 */
export function createTransaction(ctx: Context, { runOperation, watches, clock, walGuard }: TransactionParts) {
  const { store, time } = ctx
  const { run, writesNothing, flush, finish } = runOperation
  /** Why the store cannot be written now, and since when; null while it can. */
  let broken: { reason: string; at: number } | null = null
  /** Of this turn. */
  let commitMs = 0
  /** That the file itself is damaged, as this turn has met it. */
  let damaged: string | null = null
  const met = (error: unknown): void => {
    if (isDamage(error)) damaged = messageOf(error)
  }

  const { here, rollbackTo, rollback, savepoint } = createMarks(ctx, flush)

  /** Closes drained sessions that hold nothing more: last, so that what settled their tasks goes first. */
  const closeDrained = (): void => {
    for (const { session, held } of ctx.releasedNodes) {
      if (session?.draining === true && held.size === 0) ctx.close(session.id, 'drained', 'drained')
    }
    ctx.releasedNodes.clear()
  }

  const commitAll = (
    operations: readonly Operation[],
    runOne: (o: Operation) => AnyOutcome,
    end: () => void,
  ): Outcomes => {
    store.begin()
    const outcomes = operations.map(runOne)
    end()
    watches.publish()
    closeDrained()
    // A turn that writes nothing must not pass for proof that there is room again.
    if (broken !== null) store.saveClock(ctx.now, toSeconds(ctx.wall))
    store.tasks.saveCounts()
    store.settlements.saveCounts()
    store.callbacks.saveCounts()
    const began = time.monotonic()
    store.commit()
    commitMs += time.monotonic() - began
    ctx.undo.clear()
    for (const count of ctx.afterCommit.splice(0)) count()
    if (broken !== null) ctx.log('info', 'store.recovered')
    broken = null
    clock.release()
    return outcomes
  }

  const refuseOperation = (o: Operation, error: unknown): AnyOutcome => {
    ctx.log('error', 'operation.failed', { op: o.op, error: messageOf(error), stack: stackOf(error) })
    ctx.effects.push(
      ...refusalEffects(o, 'internal', 'the coordinator could not do this; its operator finds the cause in the log'),
    )
    return refuse('internal', 'the service could not do this')
  }

  const runAlone = (o: Operation): AnyOutcome => {
    let outcome: AnyOutcome | undefined
    const error = savepoint(() => {
      outcome = run(o)
      flush()
    })
    if (error !== null && isStoreFault(error)) throw error
    return outcome === undefined || error !== null ? refuseOperation(o, error) : outcome
  }
  /** A task that cannot be dispatched is quarantined by then, and the others are dispatched without it. */
  const finishCarefully = (): void => {
    for (let i = 0; i < MAX_UNDISPATCHABLE; i++) {
      const error = savepoint(finish)
      if (error === null) return
      if (isStoreFault(error)) throw error
      if (!(error instanceof UndispatchableTask)) {
        return ctx.log('error', 'dispatch.failed', { error: error.message, stack: stackOf(error) })
      }
      logUndispatchable(error)
    }
  }
  const logUndispatchable = ({ taskId, message }: UndispatchableTask): void =>
    ctx.log('error', 'task.inconsistent', { task_id: taskId, error: message })
  const tryOut = (way: () => Outcomes): { outcomes: Outcomes } | { error: unknown } => {
    const mark = here()
    try {
      return { outcomes: way() }
    } catch (error) {
      met(error)
      rollback(mark)
      return { error }
    }
  }
  const write = (operations: readonly Operation[]): Outcomes => {
    try {
      walGuard.check()
    } catch (error) {
      return refuseAll(operations, messageOf(error)) // the log cannot be emptied: nothing was begun
    }
    const full = walGuard.refusal()
    if (full !== null) return refuseAll(operations, full)
    const fast = tryOut(() => commitAll(operations, run, finish))
    if ('outcomes' in fast) return fast.outcomes
    if (isStoreFault(fast.error)) return refuseAll(operations, messageOf(fast.error))
    const careful = tryOut(() => commitAll(operations, runAlone, finishCarefully))
    if (fast.error instanceof UndispatchableTask) logUndispatchable(fast.error)
    else ctx.log('error', 'turn.retried', { error: messageOf(fast.error), stack: stackOf(fast.error) })
    return 'outcomes' in careful ? careful.outcomes : refuseAll(operations, messageOf(careful.error))
  }

  const refuseAll = (operations: readonly Operation[], reason: string): Outcomes => {
    if (broken === null) ctx.log('error', 'store.unwritable', { error: reason })
    broken = { reason: `the database cannot be written: ${reason}`, at: time.monotonic() }
    clock.hold() // no deadline passes while nothing can be done about it
    return runWithoutStore(operations)
  }

  const runInMemory = (o: Operation): AnyOutcome => {
    const mark = here()
    try {
      return run(o)
    } catch (error) {
      met(error)
      rollbackTo(mark)
      if (!isStoreFault(error)) return refuseOperation(o, error)
      ctx.log('error', 'operation.failed', { op: o.op, error: messageOf(error) })
      const message = `the database cannot be read: ${messageOf(error)}; try again later`
      ctx.effects.push(...refusalEffects(o, 'unavailable', message))
      return refuse('unavailable', message)
    }
  }

  /** While the store cannot be written: what needs no writing goes on, the rest is refused. */
  const runWithoutStore = (operations: readonly Operation[]): Outcomes => {
    const outcomes = operations.map((o) => {
      if (writesNothing(o)) return runInMemory(o)
      // That a session ended is a fact; what it gave back is reclaimed after its grace.
      if (o.op === 'nodeDisconnected') return runInMemory({ ...o, returned: false })
      const why = broken?.reason ?? 'the database cannot be written'
      ctx.effects.push(...refusalEffects(o, 'unavailable', `${why}; send it again`))
      return refuse('unavailable', `${why}; try again later`)
    })
    closeDrained()
    return outcomes
  }

  const runAll = (operations: readonly Operation[]): Outcomes => {
    if (broken !== null && time.monotonic() - broken.at < WRITE_PAUSE_MS) return runWithoutStore(operations)
    if (!operations.every(writesNothing)) return write(operations)
    const outcomes = operations.map(runInMemory)
    closeDrained()
    // What they made possible; a failure takes nothing back of what they have answered.
    if (broken === null && ctx.registry.dirtyLanes.size > 0) write([])
    return outcomes
  }

  return {
    savepoint,
    /** After a fault of ours in a turn: puts everything back. */
    abandon: () => rollback(START),
    /** Why nothing can be written now; null while it can. */
    brokenReason: (): string | null => broken?.reason ?? null,

    /** Runs the operations of a turn. @returns their outcomes, how long the commit took, ms, and what says that the file is damaged */
    turn(operations: readonly Operation[]): { outcomes: Outcomes; commitMs: number; damaged: string | null } {
      commitMs = 0
      damaged = null
      const outcomes = runAll(operations)
      return { outcomes, commitMs, damaged }
    },
  }
}
