import { modelKey, UNKNOWN } from '../../rules/models.js'
import { createTally, type Tally } from './tally.js'

/** The most names that get a tally of their own, families not counted. */
export const MAX_LABELS = 200
/** So many of them go to names that a node lists and nobody has completed a task with; the others are kept for those with one. */
const UNPROVEN_LABELS = 100
export const OTHER = 'other'

/** What is known of who serves a model. */
export interface ServedModels {
  /** Whether a registered node lists this name. */
  isListed(key: string): boolean
  /** Whether one of them has completed tasks. */
  isProven(key: string): boolean
  /** As a node that lists it writes it. */
  spellingOf(key: string): string
}

export type Labels = ReturnType<typeof createLabels>

/**
 * Which tally a model is counted in: one of its own when a node lists its name, else that of its family, else `other`. What
 * strangers make up is never more than MAX_LABELS, and a tally stays until the process ends.
 */
export function createLabels(served: ServedModels) {
  const own = new Map<string, Tally>()
  const families = new Map<string, Tally>()
  const other = createTally(OTHER)
  const moved: ((key: string, tally: Tally) => void)[] = []

  const familyTally = (family: string): Tally => {
    if (family === UNKNOWN) return other
    let found = families.get(family)
    if (found === undefined) {
      // A family may be a name that a node lists: then it is one and the same.
      found = own.get(modelKey(family)) ?? createTally(family)
      families.set(family, found)
    }
    return found
  }
  const mayHaveOwn = (key: string): boolean =>
    own.size < MAX_LABELS && served.isListed(key) && (own.size < UNPROVEN_LABELS || served.isProven(key))

  return {
    other,
    /** @param key a name in the form it is compared in @param family of that name */
    of(key: string, family: string): Tally {
      const found = own.get(key)
      if (found !== undefined) return found
      if (!mayHaveOwn(key)) return familyTally(family)
      const tally = families.get(key) ?? createTally(served.spellingOf(key))
      own.set(key, tally)
      for (const follow of moved) follow(key, tally)
      return tally
    },
    /** The tally of tasks that ask for just a family; undefined while there is none. */
    ofFamily: (family: string): Tally | undefined => families.get(family) ?? own.get(modelKey(family)),
    /** How many tallies there are: what was looked up before this changed may be out of date. */
    version: (): number => own.size + families.size,
    /** Told of a name that gets a tally of its own. */
    onOwn: (follow: (key: string, tally: Tally) => void): void => void moved.push(follow),
    /** Every tally, each once; that of all the rest is the last. */
    all: (): Tally[] => [...new Set([...own.values(), ...families.values(), other])],
    /** Whether it is of one name. */
    isOwn: (tally: Tally): boolean => own.get(modelKey(tally.label)) === tally,
    /** By what it is called. */
    find(label: string): Tally | undefined {
      const key = modelKey(label)
      return own.get(key) ?? families.get(key) ?? (key === OTHER ? other : undefined)
    },
  }
}
