import type { Context } from '../context.js'

/** Where a turn is: what memory has kept for it, and what it is about to send, log and count. */
interface Mark {
  undo: number
  effects: number
  events: number
  figures: number
}
/** Where every turn begins. */
export const START: Mark = { undo: 0, effects: 0, events: 0, figures: 0 }

/**
 * The places that a turn can go back to.
 * @param flush writes what was put off
 */
export function createMarks(ctx: Context, flush: () => void) {
  const { store } = ctx

  const here = (): Mark => ({
    undo: ctx.undo.mark(),
    effects: ctx.effects.length,
    events: ctx.events.length,
    figures: ctx.afterCommit.length,
  })
  /** Memory, and what was to leave, as they were at the mark. */
  const rollbackTo = (mark: Mark): void => {
    ctx.effects.length = mark.effects
    ctx.events.length = mark.events
    ctx.afterCommit.length = mark.figures
    ctx.undo.rollback(mark.undo)
  }
  return {
    here,
    rollbackTo,

    /** The same, and the whole transaction of the store. */
    rollback(mark: Mark): void {
      rollbackTo(mark)
      try {
        store.rollback()
      } catch (error) {
        ctx.log('error', 'undo.failed', { error: messageOf(error) }) // the next BEGIN says the same, and is refused
      }
    },

    /** A part of the turn that may fail alone; see Context. */
    savepoint(change: () => void): Error | null {
      flush() // what was put off before belongs to those who did
      const mark = here()
      const error = store.savepoint(change)
      if (error !== null) rollbackTo(mark)
      return error
    },
  }
}

export const stackOf = (error: unknown): string | null => (error instanceof Error ? (error.stack ?? null) : null)

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
