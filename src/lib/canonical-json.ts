/** A value that has one canonical text: numbers are safe integers, so that nobody has to agree on how to write others. */
export type CanonicalValue =
  | string
  | number
  | boolean
  | null
  | readonly CanonicalValue[]
  | { readonly [key: string]: CanonicalValue }

/**
 * JSON as RFC 8785 has it: members in the order of the UTF-16 units of their names, no white space, and no more escapes than needed.
 * @throws TypeError a sentence, where a number is no safe integer, a text holds a lone surrogate, or a value is none of JSON
 */
export function canonicalJson(value: CanonicalValue): string {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new TypeError('a text with a lone surrogate has no canonical form')
    return JSON.stringify(value)
  }
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw new TypeError(`${value} is no safe integer, and has no canonical form here`)
  if (typeof value !== 'object' || value === null) {
    const text = JSON.stringify(value) as string | undefined
    if (text === undefined) throw new TypeError(`a value of type ${typeof value} is none of JSON`)
    return text
  }
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, member]) => `${canonicalJson(key)}:${canonicalJson(member)}`).join(',')}}`
}

/**
 * JSON whose members are in the order of their names: the same text for the same value, whatever the order they were written in.
 * Of the same engine only: numbers are as it writes them.
 */
export function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member !== 'object' || member === null || Array.isArray(member)
      ? member
      : Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1))),
  )
}

const isList = (value: CanonicalValue): value is readonly CanonicalValue[] => Array.isArray(value)
