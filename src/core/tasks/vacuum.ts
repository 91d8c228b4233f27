import type { Context } from '../context.js'

/** One bite ends after this, ms, and gets on by one step at least: no turn waits longer for what can wait. */
export const TIME_SLICE_MS = 2
/** The shortest pause between two bites, ms: others have their turns in between. */
export const PAUSE_MS = 4
/** It was called later than it asked for by more than this, ms: the time between was somebody's. */
export const LATE_MS = 5
/** So many pages are given back between two looks at the clock: each is a page from the end of the file that has to be moved. */
const PAGES_A_STEP = 8
/** One bite gives back so many at most: what it writes is on the way of the commit. */
const MAX_PAGES = 256
/** How long it pauses after a bite, in bites: while nobody else wants the time, and while others do. */
const PAUSES = { idle: 1, busy: 49 } as const
/** How long it leaves the room for new rows while others want the time, ms. */
const LEAVE_MS = 1000
/** So many free pages of 4 KiB are left for new rows while others want the time: 100 MB, of which a full load takes some each second. */
const SPARE_PAGES = 25_600

/** Gives the room of deleted rows back to the file system, in small bites. */
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
