import type { AddressKeys } from './address.js'

/** The most that one address may take, and all together. */
export interface BudgetLimits {
  address: number
  service: number
}
/** Whose limit stands in the way. */
export type BudgetHolder = keyof BudgetLimits

/** Counts something scarce, such as bytes or connections, for each address and for the whole service. */
export interface Budget {
  /** Takes `n` unless that is more than a limit allows. @returns whose limit stands in the way; null when it is taken */
  take(keys: AddressKeys, n: number): BudgetHolder | null
  /** Takes `n` whatever the limits say: for what is there already. */
  add(keys: AddressKeys, n: number): void
  /** Gives back what was taken. */
  give(keys: AddressKeys, n: number): void
  /**
   * Whose limit, or share of it, is passed now; null while none is.
   * @param freed so much of what is taken is about to be given back, and does not count
   */
  exceeded(keys: AddressKeys, share?: number, freed?: number): BudgetHolder | null
  /** What the address has taken; 0 for one that is not counted. */
  used(keys: AddressKeys): number
  /** What all have taken. */
  total(): number
}

export function createBudget(limits: BudgetLimits): Budget {
  const byKey = new Map<string, number>()
  let total = 0
  const usedBy = (key: string): number => byKey.get(key) ?? 0
  const count = (keys: AddressKeys, n: number): void => {
    total += n
    for (const { key } of keys) {
      const used = usedBy(key) + n
      if (used > 0) byKey.set(key, used)
      else byKey.delete(key)
    }
  }
  const over = (keys: AddressKeys, n: number, share = 1): BudgetHolder | null => {
    if (keys.some(({ key, times }) => usedBy(key) + n > limits.address * times * share)) return 'address'
    return total + n > limits.service * share ? 'service' : null
  }
  return {
    take(keys, n) {
      const holder = over(keys, n)
      if (holder === null) count(keys, n)
      return holder
    },
    add: count,
    give: (keys, n) => count(keys, -n),
    exceeded: (keys, share, freed = 0) => over(keys, -freed, share),
    used: ([first]) => (first === undefined ? 0 : usedBy(first.key)),
    total: () => total,
  }
}
