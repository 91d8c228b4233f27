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
export function createVacuum(ctx: Pick<Context, 'store' | 'time' | 'now' | 'log' | 'undo'>) {
  const { store } = ctx
  /** There may be room to give back, also what was left over at the last stop. */
  let open = true
  let next = 0

  const timeSlice = (idle: boolean): void => {
    const free = store.freePages()
    if (!idle && free < SPARE_PAGES) {
      // What is stored next takes it; to make the file shorter and longer again would be for nothing.
      next = ctx.now + LEAVE_MS
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
    open = left > 0 && left < free
    next = ctx.now + Math.max(PAUSE_MS, took() * (1 + PAUSES[idle ? 'idle' : 'busy']))
  }

  return {
    /** There is room to give back. */
    begin() {
      open = true
    },
    /** @param idle nobody else wants the time */
    tick(idle: boolean) {
      if (!open || ctx.now < next) return
      ctx.undo.push(() => {
        open = true
      })
      // A part of its own: that room cannot be given back must not undo what was deleted.
      const stuck = store.savepoint(() => timeSlice(idle))
      if (stuck === null) return
      ctx.log('error', 'retention.failed', { error: stuck.message })
      open = false
    },
    /** When it wants to look again, service clock, ms. */
    next: () => (open ? next : Infinity),
  }
}
