import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import * as v from 'valibot'
import { done, refuse, type Outcome } from '../lib/result.js'
import { explain } from '../wire/fields.js'
import { parseJson } from '../wire/json.js'
import { fail } from './answers.js'

// Fatal: an invalid byte is refused, never replaced.
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Refuses bodies over `max` bytes, also those that do not say how long they are. */
export function limitBody(max: number): MiddlewareHandler {
  const tooLarge = (c: Context): Response => {
    c.header('Connection', 'close') // the rest of the body is not read
    return fail(c, refuse('too_large', `the body is larger than ${max} bytes, the most this service takes`))
  }
  const counted = bodyLimit({ maxSize: max, onError: tooLarge })
  return async (c, next) => {
    const length = c.req.header('content-length')
    // What says how long it is is no longer. To look at its stream would cost more than all the rest of the request.
    if (length === undefined || c.req.header('transfer-encoding') !== undefined) return counted(c, next)
    return Number(length) > max ? tooLarge(c) : next()
  }
}

/** The JSON body of a request, parsed once, or why it is refused. */
export async function readBody<S extends v.GenericSchema>(c: Context, schema: S): Promise<Outcome<v.InferOutput<S>>> {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') {
    return refuse(
      'unsupported_media_type',
      `Content-Type: must be application/json, not ${type === undefined ? 'missing' : JSON.stringify(type.slice(0, 100))}`,
    )
  }
  let source: string
  try {
    source = utf8.decode(await c.req.arrayBuffer())
  } catch (error) {
    if (error instanceof TypeError) return refuse('invalid_request', 'the body is not valid UTF-8')
    throw error
  }
  const json = parseJson(source)
  if (!json.ok) return refuse(json.code === 'too_large' ? 'too_large' : 'invalid_request', `the body ${json.problem}`)
  return parse(schema, json.value)
}

/** A value from outside that fits the schema, or a sentence that names the field and what is wrong with it. */
export function parse<S extends v.GenericSchema>(schema: S, value: unknown): Outcome<v.InferOutput<S>> {
  const result = v.safeParse(schema, value, { abortEarly: true })
  return result.success ? done(result.output) : refuse('invalid_request', explain(result.issues))
}

/** A percent-encoded part of a URL; what is not valid UTF-8 is refused, never replaced. */
export function decode(part: string): Outcome<string> {
  try {
    return done(decodeURIComponent(part))
  } catch {
    return refuse('invalid_request', 'is not valid percent-encoded UTF-8')
  }
}
