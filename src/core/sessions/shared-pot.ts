import type { AddressKeys } from '../../lib/address.js'
import { createBudget, type BudgetHolder } from '../../lib/budget.js'
import type { UndoLog } from '../../lib/undo-log.js'

/** No session, and no address, has more than this share of what all sessions have together. */
const SHARE = 1 / 4

/** Who a session counts as: itself, and what its address counts as. */
export type Owner = AddressKeys

/** What all sessions have together, so that none of them, and no address, has all of it. Undone with its turn. */
export interface SharedPot {
  /** The most that one owner may have. */
  readonly share: number
  /** What stands in the way of `n` more; null when nothing does. */
  refusal(owner: Owner, n: number): BudgetHolder | null
  /** Takes `n` more; below 0 it gives back. */
  take(owner: Owner, n: number): void
  total(): number
}

export function createSharedPot(most: number, undo: Pick<UndoLog, 'keep'>): SharedPot {
  const share = Math.floor(most * SHARE)
  const budget = createBudget({ address: share, service: most })
  return {
    share,
    refusal(owner, n) {
      const holder = budget.take(owner, n)
      if (holder === null) budget.give(owner, n)
      return holder
    },
    take(owner, n) {
      budget.add(owner, n)
      undo.keep({}, () => () => budget.give(owner, n))
    },
    total: () => budget.total(),
  }
}

export function createOwners() {
  const known = new Map<number, Owner>()
  const alone = (session: number): Owner => [{ key: `session ${session}`, times: 1 }]
  return {
    of: (session: number): Owner => known.get(session) ?? alone(session),
    /** A session has begun. That is a fact, and never undone. */
    join: (session: number, from: AddressKeys) => void known.set(session, [...alone(session), ...from]),
    leave: (session: number) => void known.delete(session),
  }
}
