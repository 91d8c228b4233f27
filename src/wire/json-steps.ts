import type { Json } from './json.js'
import {
  AMOUNTS,
  BACKSLASH,
  boundsProblem,
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COLON,
  COMMA,
  endOfText,
  endsWord,
  JSON_BOUNDS,
  mayBeRounded,
  OPEN_ARRAY,
  OPEN_OBJECT,
  QUOTE,
  SPACE,
} from './json-scan.js'

/** How much text a step takes at most, in characters: about a millisecond. */
const STEP_CHARS = 65_536
const STEP_VALUES = 200

/** An object or array whose end has not come yet. */
interface Open {
  container: unknown[] | Record<string, unknown>
  /** Of the field whose value comes. */
  name: string
}

const INVALID: Json = { ok: false, code: 'invalid', problem: 'is not valid JSON' }
class InvalidJson extends Error {}

/**
 * What parseJson does, in steps of about a millisecond: for text so large that to parse it at once would hold up everything else.
 * JSON.parse takes a tenth of a second for 16 MiB of escapes. All in all this takes several times as long.
 */
export function* parseJsonInSteps(json: string): Generator<void, Json> {
  try {
    return yield* parseValue(json)
  } catch (error) {
    if (error instanceof InvalidJson) return INVALID
    throw error
  }
}

function* parseValue(json: string): Generator<void, Json> {
  const found = { depth: 0, values: 0, fields: 0, nameChars: 0, numberChars: 0 }
  const open: Open[] = []
  let i = 0

  function* skipSpace(): Generator<void> {
    for (let step = i + STEP_CHARS; isSpace(json.charCodeAt(i)); i++) {
      if (i < step) continue
      step += STEP_CHARS
      yield
    }
  }
  /** The text whose opening quote is here. */
  function* text(): Generator<void, string> {
    const begin = i + 1
    let end = endOfText(json, begin, begin + STEP_CHARS)
    for (; end < 0; end = endOfText(json, -end, STEP_CHARS - end)) yield
    i = end + 1
    if (end - begin <= STEP_CHARS) return String(parse(json.slice(begin - 1, i)))
    const parts: string[] = []
    for (let from = begin; from < end;) {
      const to = end - from <= STEP_CHARS ? end : beforeEscape(json, from, from + STEP_CHARS)
      parts.push(String(parse(`"${json.slice(from, to)}"`)))
      from = to
      yield
    }
    if (json.charCodeAt(end) !== QUOTE) throw new InvalidJson()
    return parts.join('')
  }
  /** The name of a field, and its colon. */
  function* name(): Generator<void, string> {
    yield* skipSpace()
    if (json.charCodeAt(i) !== QUOTE) throw new InvalidJson()
    const begin = i
    const decoded = yield* text()
    found.fields++
    found.nameChars += i - begin - 2
    yield* skipSpace()
    if (json.charCodeAt(i++) !== COLON) throw new InvalidJson()
    return decoded
  }
  /** The number, true, false or null that begins here. */
  const word = (field: string | undefined): unknown => {
    const begin = i
    const most = Math.min(json.length, begin + JSON_BOUNDS.numberChars + 1)
    while (i < most && !endsWord(json.charCodeAt(i))) i++
    const value = parse(json.slice(begin, i))
    if (typeof value !== 'number') return value
    found.numberChars += i - begin
    const isLong = field !== undefined && AMOUNTS.includes(field) && mayBeRounded(json, begin, i)
    return isLong ? json.slice(begin, i) : value
  }

  for (;;) {
    // A value begins.
    if (++found.values % STEP_VALUES === 0) yield
    yield* skipSpace()
    const c = json.charCodeAt(i)
    const isArray = c === OPEN_ARRAY
    let value: unknown
    if (isArray || c === OPEN_OBJECT) {
      i++
      found.depth = Math.max(found.depth, open.length + 1)
      const container: Open['container'] = isArray ? [] : {}
      yield* skipSpace()
      if (json.charCodeAt(i) !== (isArray ? CLOSE_ARRAY : CLOSE_OBJECT)) {
        open.push({ container, name: isArray ? '' : yield* name() })
        const problem = boundsProblem(found)
        if (problem !== null) return { ok: false, code: 'too_large', problem }
        continue
      }
      i++
      value = container
    } else if (c === QUOTE) value = yield* text()
    else value = word(open.at(-1)?.name)
    const problem = boundsProblem(found)
    if (problem !== null) return { ok: false, code: 'too_large', problem }

    // It has ended, and with it perhaps what is around it.
    for (;;) {
      yield* skipSpace()
      const around = open.at(-1)
      if (around === undefined) return i === json.length ? { ok: true, value } : INVALID
      put(around, value)
      const next = json.charCodeAt(i++)
      const isList = Array.isArray(around.container)
      if (next === COMMA) {
        if (!isList) around.name = yield* name()
        break
      }
      if (next !== (isList ? CLOSE_ARRAY : CLOSE_OBJECT)) return INVALID
      value = open.pop()?.container
    }
  }
}

const isSpace = (c: number): boolean => c === SPACE || c === 0x0a || c === 0x0d || c === 0x09

function put({ container, name }: Open, value: unknown): void {
  if (Array.isArray(container)) container.push(value)
  // As JSON.parse does: a field like any other.
  else if (name === '__proto__')
    Object.defineProperty(container, name, { value, writable: true, enumerable: true, configurable: true })
  else container[name] = value
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw new InvalidJson()
  }
}

/** The longest escape, \u0066, without its last character: so far back one may begin that a cut would divide. */
const ESCAPE_BACK = 5

/** The last place up to `at` where text that begins at `from` can be cut without dividing an escape. */
function beforeEscape(json: string, from: number, at: number): number {
  const near = Math.max(from, at - ESCAPE_BACK)
  let last = at - 1
  while (last >= near && json.charCodeAt(last) !== BACKSLASH) last--
  if (last < near) return at
  let first = last
  while (first > from && json.charCodeAt(first - 1) === BACKSLASH) first--
  const isEscaped = (last - first) % 2 === 1
  if (isEscaped) return at
  return last + (json[last + 1] === 'u' ? 6 : 2) <= at ? at : last
}
