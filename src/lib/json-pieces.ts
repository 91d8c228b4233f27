/** With texts of more than so many UTF-16 units JSON is made in steps, each of them about that long. */
export const LARGE_UNITS = 128 * 1024

/** Bytes in pieces, and how many they are. */
export interface Pieces {
  pieces: Buffer[]
  length: number
}

/**
 * A value as JSON in bytes, in steps of a millisecond: to make 4 MiB of text JSON, and that bytes, takes up to a fifth of a second.
 * @param value is data as JSON has it, with no toJSON; a text of it may be its UTF-8
 * @param begin JSON that stands before it
 * @param end JSON that stands behind it
 */
export function* jsonInSteps(value: unknown, begin = '', end = ''): Generator<void, Pieces> {
  const pieces: Buffer[] = []
  let length = 0
  let small = begin
  const close = (): void => {
    if (small === '') return
    const piece = Buffer.from(small)
    pieces.push(piece)
    length += piece.length
    small = ''
  }
  for (const text of texts(value)) {
    small += text
    if (small.length < LARGE_UNITS) continue
    close()
    yield
  }
  small += end
  close()
  return { pieces, length }
}

/** A value as JSON, in parts that are not much larger than LARGE_UNITS. Bytes are text in UTF-8. */
function* texts(value: unknown): Generator<string> {
  if (value instanceof Uint8Array) {
    // It keeps the part of a character that a slice ends with.
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    yield '"'
    for (let from = 0; from < value.length; from += LARGE_UNITS) {
      const slice = value.subarray(from, from + LARGE_UNITS)
      yield JSON.stringify(decoder.decode(slice, { stream: from + LARGE_UNITS < value.length })).slice(1, -1)
    }
    yield '"'
  } else if (typeof value === 'string' && value.length > LARGE_UNITS) {
    yield '"'
    for (let from = 0; from < value.length;) {
      const to = betweenCharacters(value, from + LARGE_UNITS)
      yield JSON.stringify(value.slice(from, to)).slice(1, -1)
      from = to
    }
    yield '"'
  } else if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      yield i === 0 ? '[' : ','
      yield* texts(item)
    }
    yield value.length === 0 ? '[]' : ']'
  } else if (typeof value === 'object' && value !== null) {
    let separator = '{'
    for (const [name, field] of Object.entries(value)) {
      if (field === undefined) continue
      yield `${separator}${JSON.stringify(name)}:`
      yield* texts(field)
      separator = ','
    }
    yield separator === '{' ? '{}' : '}'
  } else yield JSON.stringify(value)
}

/** The last place up to `at` that divides no character of two units. */
function betweenCharacters(text: string, at: number): number {
  if (at >= text.length) return text.length
  const before = text.charCodeAt(at - 1)
  return before >= 0xd800 && before <= 0xdbff ? at - 1 : at
}
