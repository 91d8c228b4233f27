import type { UndoLog } from '../../lib/undo-log.js'

/** An attempt that was pushed, and when it must have been accepted, service clock, ms. */
export interface Offer {
  task_id: string
  attempt: number
  at: number
}

/** With so many behind the first, those that were taken are let go. */
const COMPACT_AT = 1024

export type Offers = ReturnType<typeof createOffers>

/** Pushed attempts in the order in which they must be accepted; those that were are skipped when their time comes. */
export function createOffers(undo: UndoLog) {
  /** `list` from `first` to `end`; what is outside is left over, so that numbers are all that has to be put back. */
  const state = { list: [] as Offer[], first: 0, end: 0 }
  return {
    add(offer: Offer) {
      undo.keep(state)
      state.list[state.end++] = offer
    },
    first: (): Offer | undefined => (state.first < state.end ? state.list[state.first] : undefined),
    removeFirst() {
      undo.keep(state)
      state.first++
      if (state.first < COMPACT_AT || state.first * 2 < state.end) return
      state.list = state.list.slice(state.first, state.end)
      state.end -= state.first
      state.first = 0
    },
  }
}
