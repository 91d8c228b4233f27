import { TextDecoder } from 'node:util'
import type * as v from 'valibot'
import type { AddressKeys } from '../lib/address.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import type { TimeShares } from '../lib/time-shares.js'
import { fit } from '../wire/fields.js'
import { parseJson, type Json } from '../wire/json.js'
import { parseJsonInSteps } from '../wire/json-steps.js'
import type { Exchange } from './exchange.js'

/** A larger body is parsed in steps, in bytes: what is smaller takes a few milliseconds at most. */
const LARGE_BYTES = 128 * 1024

// Fatal: an invalid byte is refused, never replaced.
const utf8 = new TextDecoder('utf-8', { fatal: true })
const NO_UTF8 = refuse('invalid_request', 'the body is not valid UTF-8')

/** The value of a JSON body, or why it is refused. @param pieces all of it, in order; emptied where it is large */
export async function parseBody(
  { request, limits, keys }: Pick<Exchange, 'request' | 'limits' | 'keys'>,
  pieces: Buffer[],
): Promise<Outcome<unknown>> {
  const type = request.headers['content-type']
  const media = type?.split(';')[0]?.trim().toLowerCase()
  if (media !== 'application/json') {
    return refuse(
      'unsupported_media_type',
      `Content-Type: must be application/json, not ${media === undefined ? 'missing' : JSON.stringify(media.slice(0, 100))}`,
    )
  }
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  if (length > LARGE_BYTES) return parseInTurn(pieces, keys, limits.time)
  const [first, ...rest] = pieces
  const text = decode(utf8, rest.length === 0 ? first : Buffer.concat(pieces))
  return text === null ? NO_UTF8 : outcomeOf(parseJson(text))
}

const outcomeOf = (json: Json): Outcome<unknown> =>
  json.ok
    ? done(json.value)
    : refuse(json.code === 'too_large' ? 'too_large' : 'invalid_request', `the body ${json.problem}`)

/** Large bodies of an address one after another: each is in memory several times while it is parsed. */
const lastLarge = new Map<string, Promise<unknown>>()
function parseInTurn(pieces: Buffer[], keys: AddressKeys, time: TimeShares): Promise<Outcome<unknown>> {
  const key = keys[0]?.key ?? ''
  const before = lastLarge.get(key) ?? Promise.resolve()
  const parsed = before.then(() => time.inSteps(keys, parseLarge(pieces)))
  const over = parsed
    .catch(() => undefined)
    .then(() => {
      if (lastLarge.get(key) === over) lastLarge.delete(key)
    })
  lastLarge.set(key, over)
  return parsed
}

function* parseLarge(pieces: Buffer[]): Generator<void, Outcome<unknown>> {
  // One of its own: it keeps the part of a character that a piece ends with.
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const parts: string[] = []
  for (const piece of [...pieces, undefined]) {
    const part = decode(decoder, piece, { stream: piece !== undefined })
    if (part === null) return NO_UTF8
    parts.push(part)
    yield
  }
  pieces.length = 0
  const text = parts.splice(0).join('')
  yield
  return outcomeOf(yield* parseJsonInSteps(text))
}

function decode(decoder: TextDecoder, bytes: Buffer | undefined, options?: { stream: boolean }): string | null {
  try {
    return decoder.decode(bytes, options)
  } catch {
    return null // it is fatal to it only when it is not valid
  }
}

/** A value from outside that fits the schema, or a sentence that names each field that is wrong, and what is wrong with it. */
export function parse<S extends v.GenericSchema>(schema: S, value: unknown): Outcome<v.InferOutput<S>> {
  const fitted = fit(schema, value)
  return fitted.ok ? done(fitted.value) : refuse('invalid_request', fitted.problem)
}
