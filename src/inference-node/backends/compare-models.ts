import { isFamily, isOfFamily, sameModel } from '../model-names.js'
import { isModelName, usableModels } from '../offer.js'

export type Mapping = Readonly<Record<string, string>>

/** What of the models that are wanted a server has. */
export interface Comparison {
  /** What can be offered, and the server's name of each. */
  offered: ReadonlyMap<string, string>
  missing: readonly string[]
}

/** The server's name of a model, where it was given one. */
export const mapped = (mapping: Mapping, name: string): string | undefined =>
  Object.entries(mapping).find(([served]) => sameModel(served, name))?.[1]

/**
 * Compares what a node is to serve with what its server lists. A name is found in another case too, and without the tag
 * ":latest". A whole family stands for what the server has of it.
 * @param wanted nothing: all that is listed
 */
export function compareModels(wanted: readonly string[], mapping: Mapping, listed: readonly string[]): Comparison {
  if (wanted.length === 0) return { offered: new Map(usableModels(listed).map((name) => [name, name])), missing: [] }
  const find = finder(listed)
  // What is mapped is somebody else's name here.
  const isMember = (name: string, family: string): boolean =>
    isOfFamily(name, family) && isModelName(name) && mapped(mapping, name) === undefined
  const offered = new Map<string, string>()
  const missing: string[] = []
  for (const name of wanted) {
    const given = mapped(mapping, name)
    const found = find(given ?? name)
    const family = given === undefined && isFamily(name) ? listed.filter((m) => isMember(m, name)) : []
    if (found !== undefined) offered.set(name, found)
    else if (family.length > 0) for (const member of family) offered.set(member, member)
    else missing.push(name)
  }
  return { offered, missing }
}

function finder(listed: readonly string[]): (name: string) => string | undefined {
  const exact = new Set(listed)
  const byKey = new Map(listed.map((name) => [name.toLowerCase(), name]))
  return (name) =>
    [name, `${name}:latest`].find((n) => exact.has(n)) ??
    byKey.get(name.toLowerCase()) ??
    byKey.get(`${name.toLowerCase()}:latest`)
}
