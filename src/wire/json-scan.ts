/**
 * What JSON text may hold. Its size alone does not bound what it costs to parse: 16 MiB of brackets take 5 s, 100,000 names that
 * all differ a quarter of a second. With these bounds 4 MiB of text take less than 50 ms.
 */
export const JSON_BOUNDS = {
  /** How deep objects and arrays may be nested. */
  depth: 32,
  /** Objects, arrays, texts, numbers and the rest. */
  values: 100_000,
  /** Fields of all objects. */
  fields: 20_000,
  /** Characters of the names of all fields. */
  nameChars: 1_048_576,
  /** Characters of all numbers. */
  numberChars: 262_144,
}

/** What was seen of JSON text before it is parsed. */
export interface JsonScan {
  /** Which of the bounds it is over, as words that follow a subject; null when it is within them. */
  problem: string | null
  /** Begin and end of each amount that JSON.parse might round, in order: [begin, end, begin, end, ...]. */
  longAmounts: readonly number[]
}

const NOTHING: readonly number[] = []

/**
 * Looks at JSON text once, from its begin to its end, and keeps nothing of it; about 1 ms for each MiB. Whether the text is valid
 * is for JSON.parse to say: what comes after its first fault may be counted wrongly.
 */
export function scanJson(json: string): JsonScan {
  const { length } = json
  const escapes = json.includes('\\')
  let longAmounts: number[] | null = null
  let [depth, deepest, values, fields, nameChars, numberChars] = [0, 0, 0, 0, 0, 0]
  /** Whether the name of an amount and its colon have just been passed. */
  let isAmount = false
  const most = JSON_BOUNDS
  for (let i = 0; i < length && values <= most.values && fields <= most.fields && depth <= most.depth;) {
    const c = json.charCodeAt(i)
    if (c === QUOTE) {
      const end = endOfText(json, i + 1)
      const begin = i + 1
      i = end + 1
      while (json.charCodeAt(i) <= SPACE) i++
      const isName = json.charCodeAt(i) === COLON
      isAmount = isName && isAmountName(json, begin, end, escapes)
      if (isName) {
        fields++
        nameChars += end - begin
      } else values++
    } else if (c <= SPACE || c === COMMA || c === COLON) i++
    else if (c === OPEN_OBJECT || c === OPEN_ARRAY) {
      i++
      values++
      isAmount = false
      if (++depth > deepest) deepest = depth
    } else if (c === CLOSE_OBJECT || c === CLOSE_ARRAY) {
      i++
      depth--
    } else {
      const begin = i
      do i++
      while (i < length && !endsWord(json.charCodeAt(i)))
      values++
      if (c < LETTERS) numberChars += i - begin
      if (isAmount && mayBeRounded(json, begin, i)) (longAmounts ??= []).push(begin, i)
      isAmount = false
    }
  }
  const problem = boundsProblem({ depth: deepest, values, fields, nameChars, numberChars })
  return { problem, longAmounts: longAmounts ?? NOTHING }
}

/** Which bound these figures of JSON text are over, as words that follow a subject; null when they are within all. */
export function boundsProblem(found: typeof JSON_BOUNDS): string | null {
  const { depth, values, fields, nameChars, numberChars } = JSON_BOUNDS
  if (found.depth > depth) return `is nested deeper than ${depth} levels`
  if (found.values > values) return `holds more than ${values} values`
  if (found.fields > fields) return `holds more than ${fields} fields`
  if (found.nameChars > nameChars) return `has field names of more than ${nameChars} characters in all`
  if (found.numberChars > numberChars) return `has numbers of more than ${numberChars} characters in all`
  return null
}

// Character codes.
export const [SPACE, QUOTE, COMMA, COLON, BACKSLASH] = [0x20, 0x22, 0x2c, 0x3a, 0x5c]
export const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]
/** A word below it is a number; true, false and null are above. */
const LETTERS = 0x41

/** After an escaped quote the next is often near: so far it is cheaper to look at each character. */
const NEAR = 64

/**
 * Where the text ends that begins here.
 * @param most looks no further than about this far
 * @returns the place of its closing quote, or the end of `json`; negative when it is further: minus the place to go on from
 */
export function endOfText(json: string, begin: number, most = Infinity): number {
  for (let i = begin; ;) {
    if (i > most) return -i
    const quote = json.indexOf('"', i)
    if (quote < 0) return json.length
    let backslashes = 0
    while (quote - backslashes > i && json.charCodeAt(quote - backslashes - 1) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return quote
    i = quote + 1
    for (const near = Math.min(i + NEAR, json.length); i < near; i++) {
      const c = json.charCodeAt(i)
      if (c === QUOTE) return i
      if (c === BACKSLASH) i++
    }
  }
}

/** Whether this character code ends a number, true, false or null. */
export const endsWord = (c: number): boolean => c <= SPACE || c === COMMA || c === CLOSE_ARRAY || c === CLOSE_OBJECT

/** The names of amounts. */
export const AMOUNTS = ['fee', 'nonce', 'infer_fee']
/** The longest name of an amount with every character escaped. */
const MAX_ESCAPED_NAME = 'infer_fee'.length * '\\u0066'.length

/** Whether the name between these places, without its quotes, is that of an amount. @param escapes whether it may have any */
function isAmountName(json: string, begin: number, end: number, escapes: boolean): boolean {
  const length = end - begin
  const name = length === 3 ? 'fee' : length === 5 ? 'nonce' : 'infer_fee'
  if (length === name.length && json.startsWith(name, begin)) return true
  if (!escapes || length > MAX_ESCAPED_NAME) return false
  try {
    return AMOUNTS.includes(String(JSON.parse(json.slice(begin - 1, end + 1))))
  } catch {
    return false // it is not valid, and will be refused
  }
}

/** The digits that a double keeps whatever they are. */
const EXACT_DIGITS = 15

/** Whether a word is a number that may be another one as a double (9007199254740990.5), or zero (1e-400). */
export function mayBeRounded(json: string, begin: number, end: number): boolean {
  const first = json[begin] === '-' ? begin + 1 : begin
  const whole = json[first] === '0' ? first + 1 : skipDigits(json, first)
  if (whole === first) return false
  const fraction = json[whole] === '.' ? skipDigits(json, whole + 1) : whole
  if (fraction === whole + 1) return false
  if (fraction === end) return end - first > EXACT_DIGITS
  if (json[fraction] !== 'e' && json[fraction] !== 'E') return false
  const sign = json[fraction + 1]
  const exponent = sign === '-' || sign === '+' ? fraction + 2 : fraction + 1
  if (exponent === end || skipDigits(json, exponent) !== end) return false
  return sign === '-' || end - first > EXACT_DIGITS
}

function skipDigits(json: string, begin: number): number {
  let i = begin
  for (let c = json.charCodeAt(i); c >= 0x30 && c <= 0x39; c = json.charCodeAt(i)) i++
  return i
}
