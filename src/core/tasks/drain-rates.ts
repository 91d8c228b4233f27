/** The rate is that of the last one to two of these, ms. */
const WINDOW_MS = 30_000
/** So many models are counted; of more nothing is known. */
const MAX_MODELS = 1000

/** How fast the queue of each model is worked off: how many of its tasks were given to nodes of late. Figures: never undone. */
export function createDrainRates() {
  let began = 0
  let now = new Map<string, number>()
  let before = new Map<string, number>()
  const turn = (at: number): void => {
    if (at - began < WINDOW_MS) return
    before = at - began < 2 * WINDOW_MS ? now : new Map<string, number>()
    now = new Map()
    began = at
  }
  return {
    /** One of this model was given to a node. @param at service clock, ms */
    note(model: string, at: number): void {
      turn(at)
      const n = now.get(model)
      if (n !== undefined || now.size < MAX_MODELS) now.set(model, (n ?? 0) + 1)
    },
    /** Tasks a second; 0 where nothing was given of late. */
    rate(model: string, at: number): number {
      turn(at)
      const n = (now.get(model) ?? 0) + (before.get(model) ?? 0)
      const ms = at - began + (before.size > 0 ? WINDOW_MS : 0)
      return ms <= 0 ? 0 : (n * 1000) / ms
    },
  }
}
export type DrainRates = ReturnType<typeof createDrainRates>
