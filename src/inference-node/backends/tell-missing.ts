import { isModelName } from '../offer.js'
import { mapped, type Mapping } from './compare-models.js'

/** How many of the server's names are shown, and how many of those that are missing. */
const MAX_SHOWN = 5
const MAX_MISSING_SHOWN = 3
/** A whole --model is suggested up to so many names; for more only what has to change in it. */
const MAX_FLAG = 4
/** The nearest are looked for among so many of the server's names: it may list ten thousand. */
const MAX_COMPARED = 1000
/** From this likeness on two names may be meant for the same model. */
const ALIKE = 0.75
/** A shorter name is part of many. */
const MIN_PART_LENGTH = 4
/** What a shell takes as it is, and --model as one name. */
const PLAIN_NAME = /^[\w.:@/+-]+$/

export interface MissingModels {
  /** What the node is to serve, and what of it is missing. */
  wanted: readonly string[]
  missing: readonly string[]
  mapping: Mapping
  /** What the server lists instead. */
  listed: readonly string[]
}

/** One sentence: what a node is to serve and its server does not have, what the server has instead, and what to write. */
export function tellMissing({ wanted, missing, mapping, listed }: MissingModels): string {
  const first = missing.slice(0, MAX_MISSING_SHOWN)
  const lacking = first.map((name) => mapped(mapping, name) ?? name)
  const more = missing.length > first.length ? ` (and ${missing.length - first.length} more)` : ''
  const lacks = `the server has no ${lacking.join(' and no ')}${more}`
  const names = firstNames(listed).map(lettersOf)
  if (names.length === 0) return `${lacks}; it lists no models: load one there`

  const own = lacking.map(lettersOf)
  const byLikeness = names
    .map((letters) => ({ letters, like: Math.max(...own.map((l) => compare(l, letters))) }))
    .sort((a, b) => b.like - a.like)
    .map(({ letters }) => letters)
  const shown = (names.length > MAX_SHOWN ? byLikeness.slice(0, MAX_SHOWN) : names).map(({ name }) => name)
  const rest = listed.length > shown.length ? ` and ${listed.length - shown.length} more` : ''

  const suggest = (name: string): string => {
    const given = mapped(mapping, name)
    if (!missing.includes(name)) return given === undefined ? name : `${name}=${given}`
    return `${name}=${nearest(given ?? name, names) ?? 'NAME'}`
  }
  const flag = (wanted.length > MAX_FLAG ? first : wanted).map(suggest)
  const lists = `${lacks}; it lists ${shown.join(', ')}${rest}`
  return flag.some((f) => f.endsWith('=NAME'))
    ? `${lists}: load it there, or use --model ${flag.join(',')}, where NAME is one of those`
    : `${lists}: use --model ${flag.join(',')}`
}

/** How much two names are the same beside case, marks and additions, 0 to 1: "llama-3-8b" and "llama3:8b" wholly. */
export const likeness = (a: string, b: string): number => compare(lettersOf(a), lettersOf(b))

/** A name as it is compared. */
interface Letters {
  name: string
  plain: string
  /** What two words share of their pairs of letters is Dice's coefficient. */
  pairs: ReadonlySet<string>
}

function lettersOf(name: string): Letters {
  const plain = name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
  return {
    name,
    plain,
    pairs: new Set(Array.from({ length: plain.length }, (_, i) => plain.slice(i, i + 2)).slice(0, -1)),
  }
}

function compare(a: Letters, b: Letters): number {
  const [longer, shorter] = a.plain.length > b.plain.length ? [a, b] : [b, a]
  if (shorter.plain.length >= MIN_PART_LENGTH && longer.plain.includes(shorter.plain))
    return ALIKE + (1 - ALIKE) * (shorter.plain.length / longer.plain.length)
  let common = 0
  for (const pair of shorter.pairs) if (longer.pairs.has(pair)) common++
  return common === 0 ? 0 : (2 * common) / (a.pairs.size + b.pairs.size)
}

function nearest(name: string, names: readonly Letters[]): string | undefined {
  const own = lettersOf(name)
  let best: { name: string; like: number } | undefined
  for (const other of names) {
    const like = compare(own, other)
    if (like >= ALIKE && like > (best?.like ?? 0) && PLAIN_NAME.test(other.name)) best = { name: other.name, like }
  }
  return best?.name
}

/** The first different names that can be shown. */
function firstNames(listed: readonly string[]): string[] {
  const names = new Set<string>()
  for (const name of listed) {
    if (names.size === MAX_COMPARED) break
    if (isModelName(name)) names.add(name)
  }
  return [...names]
}
