import { IGNORED_QUERY } from '../contract/answer-headers.js'
import type { Query } from '../contract/route.js'
import type { Exchange } from './exchange.js'

/** The most names that are shown, and how much of each, in characters as they are encoded. */
const MAX_NAMES = 10
const MAX_NAME_LENGTH = 64

const nameOf = (text: string): string => {
  const raw = text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(raw)
  } catch {
    return raw
  }
}
/** Nothing of a half escape stays at the end. */
const shown = (name: string): string =>
  encodeURIComponent(name.toWellFormed())
    .slice(0, MAX_NAME_LENGTH)
    .replace(/%[0-9A-F]?$/, '')

/** The names in the query of a URL that are not known, percent-encoded, with commas between; null when there are none. */
export function ignoredNames(url: string, known: ReadonlySet<string>): string | null {
  let at = url.indexOf('?')
  if (at < 0) return null
  const names = new Set<string>()
  while (at >= 0 && names.size < MAX_NAMES) {
    const next = url.indexOf('&', at + 1)
    const pair = url.slice(at + 1, next < 0 ? undefined : next)
    at = next
    const equals = pair.indexOf('=')
    const name = nameOf(equals < 0 ? pair : pair.slice(0, equals))
    if (name !== '' && !known.has(name)) names.add(shown(name))
  }
  return names.size === 0 ? null : [...names].join(', ')
}

/** What names them in the answer to a request: a misspelt filter would be missed otherwise. */
export function createIgnoredQuery(query: Query | undefined): (exchange: Exchange) => void {
  const known = new Set(Object.keys(query?.entries ?? {}))
  return (exchange) => {
    const names = ignoredNames(exchange.request.url ?? '', known)
    if (names !== null) exchange.addHeader(IGNORED_QUERY, names)
  }
}
