import type { Context } from '../context.js'

/** A time slice ends after this, and takes one step at least: no turn waits longer for what can wait. */
export const TIME_SLICE_MS = 2
/** The shortest pause between two time slices: others have their turns in between. */
export const PAUSE_MS = 4
/** Ticked later than it asked for by more than this: somebody else wanted the time. */
export const LATE_MS = 5
/** Pages that are given back between two looks at the clock: for each a page from the end of the file is moved. */
const PAGES_A_STEP = 8
/** A time slice gives back so many at most: what it writes makes the commit longer. */
const MAX_PAGES = 256
/** The pause after a time slice, in slices: while nobody else wants the time, and while others do. */
const PAUSES = { idle: 1, busy: 49 } as const
/** How long the room is left to new rows while others want the time. */
const LEAVE_MS = 1000
/** Free pages (4 KiB) that are left to new rows while others want the time: 100 MB, of which a full load takes some each second. */
const SPARE_PAGES = 25_600

/** Gives the room of deleted rows back to the file system (incremental vacuum), in short time slices. */
export function createVacuum(ctx: Pick<Context, 'store' | 'time' | 'now' | 'log' | 'undo' | 'savepoint'>) {
  const { store } = ctx
  /** `open`: there may be room to give back, also what was left over at the last stop. `next`: service clock, ms. */
  const state = { open: true, next: 0 }

  const timeSlice = (idle: boolean): void => {
    const free = store.freePages()
    if (!idle && free < SPARE_PAGES) {
      // What is stored next takes it; to make the file shorter and longer again would be for nothing.
      state.next = ctx.now + LEAVE_MS
      return
    }
    const began = ctx.time.monotonic()
    const took = (): number => ctx.time.monotonic() - began
    let given = 0
    while (given === 0 || (given < MAX_PAGES && took() < TIME_SLICE_MS)) {
      store.shrink(PAGES_A_STEP)
      given += PAGES_A_STEP
    }
    const left = store.freePages()
    state.open = left > 0 && left < free
    state.next = ctx.now + Math.max(PAUSE_MS, took() * (1 + PAUSES[idle ? 'idle' : 'busy']))
  }

  return {
    /** There is room to give back. */
    begin() {
      ctx.undo.keep(state)
      state.open = true
    },
    /** @param idle nobody else wants the time */
    tick(idle: boolean) {
      if (!state.open || ctx.now < state.next) return
      // That room cannot be given back must not undo what was deleted.
      const error = ctx.savepoint(() => {
        ctx.undo.keep(state)
        timeSlice(idle)
      })
      if (error === null) return
      ctx.log('error', 'retention.failed', { error: error.message })
      ctx.undo.keep(state)
      state.open = false
    },
    /** When it wants to look again, service clock, ms. */
    next: () => (state.open ? state.next : Infinity),
  }
}
