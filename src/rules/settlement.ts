/**
 * The life of a settlement, as data: what becomes of the payment of a task that has its result. The column's CHECK, the wire's
 * enum, the counters and the documentation derive from it.
 *
 * ready: to be posted. posted: a miner verifiably holds it, with our payee and our output hash. mined: it is in a block of the
 * canonical chain. confirmed: so many blocks are on top of it. lost: no miner holds it any more and its nonce is free; it is posted
 * again. hijacked: a miner or a block has it with another payee or hash. rejected: a miner has refused it for good. replaced:
 * another transaction has used its nonce. aborted: it was mined, and the chain has not paid. mined_unverified: its nonce is used,
 * and nobody can tell us by which transaction.
 */
export const settlementMoves = {
  ready: ['posted', 'mined', 'mined_unverified', 'hijacked', 'rejected', 'replaced', 'aborted'],
  posted: ['mined', 'mined_unverified', 'lost', 'hijacked', 'replaced', 'aborted'],
  lost: ['posted', 'mined', 'mined_unverified', 'hijacked', 'rejected', 'replaced', 'aborted'],
  mined: ['confirmed', 'posted', 'hijacked', 'replaced', 'aborted'],
  mined_unverified: ['mined', 'posted', 'hijacked', 'replaced', 'aborted'],
  hijacked: ['posted', 'mined', 'replaced', 'aborted', 'ready'],
  replaced: ['posted', 'mined', 'hijacked', 'aborted', 'ready'],
  aborted: ['posted', 'mined', 'hijacked', 'replaced'],
  rejected: ['ready', 'posted', 'mined', 'hijacked', 'replaced', 'aborted'],
  confirmed: [],
} as const satisfies Record<string, readonly string[]>

export type SettlementState = keyof typeof settlementMoves
export const settlementStates = Object.keys(settlementMoves) as [SettlementState, ...SettlementState[]]

/** What a block may say of a settlement. */
export const sightingKinds = ['mined', 'aborted', 'hijacked', 'replaced'] as const
export type SightingKind = (typeof sightingKinds)[number]

/** Whether a settlement may go from one state to another. */
export function canSettle(from: SettlementState, to: SettlementState): boolean {
  const targets: readonly SettlementState[] = settlementMoves[from]
  return targets.includes(to)
}

/** Whether the relay has it still to post. */
export const isUnposted = (state: SettlementState): boolean => state === 'ready' || state === 'lost'

/** Whether it has gone wrong: an operator should look at it. */
export const hasGoneWrong = (state: SettlementState): boolean =>
  state === 'hijacked' || state === 'rejected' || state === 'replaced' || state === 'aborted'

/** The shortest and the longest pause before something is tried again, ms. */
const RETRY_MS = { least: 1000, most: 300_000 }

/**
 * How long to wait before the next try, ms: 1 s, doubled with each try up to 5 minutes, of which up to a half is left out at
 * random, so that all that failed together do not come back together.
 * @param tries how often it has failed in a row, from 1
 * @param random from 0 to 1
 */
export function retryPauseMs(tries: number, random: number): number {
  const pause = Math.min(RETRY_MS.most, RETRY_MS.least * 2 ** Math.min(tries - 1, 20))
  return Math.round(pause * (1 - random / 2))
}
