/** How many bytes are looked at between two turns: well under a millisecond. */
const STEP_BYTES = 65_536

/** A value in JSON bytes, from its first byte to the one after its last. */
export interface Span {
  begin: number
  end: number
}

/** The bytes are no JSON as far as they were looked at. */
export class InvalidJson extends Error {}

export type JsonWalk = ReturnType<typeof createJsonWalk>

/**
 * Goes through JSON bytes once and builds nothing: for bodies of which little is wanted. What is passed over is not checked,
 * except that its brackets and quotes end. Each generator yields after about `STEP_BYTES`, keeps nothing but its place whatever
 * the nesting, and throws InvalidJson.
 */
export function createJsonWalk(json: Buffer) {
  let i = 0
  let step = STEP_BYTES
  const isLate = (): boolean => {
    if (i < step) return false
    step = i + STEP_BYTES
    return true
  }

  function* space(): Generator<void> {
    for (let c = json[i]; c === SPACE || c === 0x0a || c === 0x0d || c === 0x09; c = json[++i]) if (isLate()) yield
  }
  /** To after the closing quote of the text whose opening one is here. */
  function* passText(): Generator<void> {
    i++
    for (;;) {
      const end = Math.min(json.length, step)
      while (i < end && json[i] !== QUOTE) i += json[i] === BACKSLASH ? 2 : 1
      if (i >= json.length) throw new InvalidJson()
      if (json[i] === QUOTE) break
      if (isLate()) yield
    }
    i++
  }
  /** The value that begins here. */
  function* pass(): Generator<void, Span> {
    yield* space()
    const begin = i
    let depth = 0
    do {
      const c = json[i]
      if (c === undefined) throw new InvalidJson()
      if (c === QUOTE) yield* passText()
      else {
        if (c === OPEN_OBJECT || c === OPEN_ARRAY) depth++
        else if (c === CLOSE_OBJECT || c === CLOSE_ARRAY) depth--
        else if (depth === 0) {
          passWord()
          break
        }
        i++
      }
      if (isLate()) yield
    } while (depth > 0)
    if (depth < 0 || i === begin) throw new InvalidJson()
    return { begin, end: i }
  }
  /** A number, true, false or null; bounded, for none of them is long. */
  const passWord = (): void => {
    const most = i + MAX_WORD
    while (i < json.length && isOfWord(json[i])) if (i++ > most) throw new InvalidJson()
  }

  /** Past a comma, or past the end. @returns whether it was a comma */
  function* next(close: number): Generator<void, boolean> {
    yield* space()
    const c = json[i++]
    if (c === COMMA) return true
    if (c !== close) throw new InvalidJson()
    return false
  }
  /** Past the opening bracket. @returns whether there is anything in it */
  function* open(bracket: number, close: number): Generator<void, boolean> {
    yield* space()
    if (json[i++] !== bracket) throw new InvalidJson()
    yield* space()
    if (json[i] !== close) return true
    i++
    return false
  }

  return {
    pass,
    /** The object that begins here. @param field goes past the value of the field of this name; names with escapes are '' */
    *object(field: (name: string) => Generator<void, unknown>): Generator<void> {
      if (!(yield* open(OPEN_OBJECT, CLOSE_OBJECT))) return
      do {
        yield* space()
        if (json[i] !== QUOTE) throw new InvalidJson()
        const begin = i + 1
        yield* passText()
        const name = i - begin > MAX_NAME ? '' : json.toString('latin1', begin, i - 1)
        yield* space()
        if (json[i++] !== COLON) throw new InvalidJson()
        yield* field(name)
      } while (yield* next(CLOSE_OBJECT))
    },
    /** The array that begins here. @param item goes past the item that comes */
    *array(item: () => Generator<void, unknown>): Generator<void> {
      if (!(yield* open(OPEN_ARRAY, CLOSE_ARRAY))) return
      do yield* item()
      while (yield* next(CLOSE_ARRAY))
    },
    /** That nothing comes any more. */
    *end(): Generator<void> {
      yield* space()
      if (i !== json.length) throw new InvalidJson()
    },
  }
}

const [SPACE, QUOTE, COMMA, COLON, BACKSLASH] = [0x20, 0x22, 0x2c, 0x3a, 0x5c]
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]
/** The longest number that is passed over, and the longest name that is looked at, in bytes. */
const MAX_WORD = 128
const MAX_NAME = 64

/** Whether a byte goes on a number or a name such as null: letters, digits, and `+ - .`. */
const isOfWord = (c = 0): boolean => c > SPACE && c !== COMMA && c !== CLOSE_ARRAY && c !== CLOSE_OBJECT && c !== QUOTE
