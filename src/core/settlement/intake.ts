import { SealedTextError } from '../../lib/sealed-text.js'
import type { IntakeEntry } from '../../store/settlement-schema.js'
import type { Context } from '../context.js'

/** A result gets its settlement's row after so long at the latest, ms; mostly the relay asks for it at once. */
const OPENED_WITHIN_MS = 20

/** A result whose settlement has no row yet. */
export interface Unopened extends IntakeEntry {
  /** Null: it is read from the file. */
  output: string | null
}

export type Intake = ReturnType<typeof createIntake>

/**
 * Results that are to be paid, until each has the row of its settlement. That row costs a third of a completion, and the turn that
 * takes results is what everybody waits for: it writes one short row for all of them. The next turn that has to do with settlements
 * makes of it one for each.
 * @param open makes the row of one
 */
export function createIntake(ctx: Context, open: (entry: IntakeEntry, output: string) => void) {
  const { store, undo } = ctx
  const state = {
    /** Those of earlier turns, which the file has, then those of this turn. */
    unopened: store.settlementIntake.all().map((entry): Unopened => ({ ...entry, output: null })),
    /** How many of them the file has. */
    saved: 0,
  }
  state.saved = state.unopened.length
  const keep = (): void =>
    undo.keep(state, ({ unopened, saved }) => {
      const { length } = unopened
      return () => {
        unopened.length = length
        state.unopened = unopened
        state.saved = saved
      }
    })

  /** The result of a task that was completed before the start; null when nobody can read it, which an operator has to mend. */
  const outputOf = (taskId: string): string | null | undefined => {
    try {
      return store.tasks.result(taskId)?.output
    } catch (error) {
      if (!(error instanceof SealedTextError)) throw error
      ctx.log('error', 'settlement.unreadable', { task_id: taskId, error: error.message })
      return null
    }
  }
  return {
    /** How many have no row yet. */
    size: (): number => state.unopened.length,
    get: (taskId: string): Unopened | undefined => state.unopened.find((entry) => entry.task_id === taskId),

    add(entry: Unopened): void {
      keep()
      state.unopened.push(entry)
      ctx.settlementsDue = true
      ctx.wake(ctx.now + OPENED_WITHIN_MS)
    },

    /** At the end of a turn: what it has added is in its commit. */
    save(): void {
      if (state.saved === state.unopened.length) return
      keep()
      store.settlementIntake.save(state.unopened.slice(state.saved))
      state.saved = state.unopened.length
    },

    /** Gives each its row; in a turn that writes. */
    openAll(): void {
      if (state.unopened.length === 0) return
      keep()
      const { unopened, saved } = state
      state.unopened = []
      state.saved = 0
      const unreadable: Unopened[] = []
      for (const entry of unopened) {
        const output = entry.output ?? outputOf(entry.task_id)
        if (output === null) unreadable.push(entry)
        else if (output !== undefined) open(entry, output) // undefined: it was deleted while the chain was not looked at
      }
      if (saved > 0) store.settlementIntake.clear()
      // They stay in the file, for the next start.
      if (unreadable.length > 0) store.settlementIntake.save(unreadable)
    },
  }
}
