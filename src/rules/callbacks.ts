/**
 * The life of a callback, as data: what tells the submitter of a task that it has ended. The column's CHECK, the wire's enum and the
 * counters derive from it.
 *
 * waiting: its task has not ended yet, or was opened again. pending: it is to be sent, perhaps again. delivered: its receiver has taken
 * it. dead: it is sent no more, until somebody asks for that.
 */
export const callbackMoves = {
  waiting: ['pending'],
  pending: ['delivered', 'dead', 'waiting'],
  delivered: ['waiting'],
  dead: ['pending', 'waiting'],
} as const satisfies Record<string, readonly string[]>

export type CallbackState = keyof typeof callbackMoves
export const callbackStates = Object.keys(callbackMoves) as [CallbackState, ...CallbackState[]]

/** Whether a callback may go from one state to another. */
export function canCallBack(from: CallbackState, to: CallbackState): boolean {
  const targets: readonly CallbackState[] = callbackMoves[from]
  return targets.includes(to)
}

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
/** The pauses after the tries that have failed; after one more it is dead. */
const PAUSES_MS = [
  5 * SECOND_MS,
  30 * SECOND_MS,
  2 * MINUTE_MS,
  10 * MINUTE_MS,
  HOUR_MS,
  6 * HOUR_MS,
  24 * HOUR_MS,
] as const
/** So much longer a pause may be at random: those that failed together do not come back together. */
const JITTER = 0.1

/**
 * How long to wait before the next try, ms; null when there is none.
 * @param tries how many have failed, from 1
 * @param random from 0 to 1
 */
export function callbackPauseMs(tries: number, random: number): number | null {
  const pause = PAUSES_MS[tries - 1]
  return pause === undefined ? null : Math.round(pause * (1 + JITTER * random))
}
