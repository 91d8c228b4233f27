import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Context } from 'hono'
import { refusalHeaders } from '../lib/refusal-headers.js'
import type { Refusal } from '../lib/result.js'
import { writeMs } from '../lib/time-shares.js'
import { errors } from '../wire/codes.js'
import { envelopeText } from '../wire/envelope.js'
import { errorBody, JSON_TYPE, refuseEarly, type Exchange } from './exchange.js'
import type { Pieces } from '../lib/json-pieces.js'
import { holdBytes, holdUnsent } from './unsent.js'

/** What a route is given: the request, and the exchange it belongs to. */
export type RouteContext = Context<{ Bindings: Exchange }>

/**
 * An answer, whatever it is. Not by the functions of the context: headers that they set are copied twice, and what is given here
 * is written as it is.
 */
export const respond = (
  c: RouteContext,
  body: string | ReadableStream,
  status = 200,
  more?: Record<string, string>,
): Response => new Response(body, { status, headers: { ...c.env.headers, ...JSON_TYPE, ...more } })

export const ok = (c: RouteContext, data: unknown, headers?: Record<string, string>): Response =>
  text(c, envelopeText(JSON.stringify(data)), headers)

/** @param data JSON already */
export const okText = (c: RouteContext, data: string): Response => text(c, envelopeText(data))

/** A large answer, which is sent at the speed of its reader. @param headers beside those of every answer, or instead of them */
export function okPieces(c: RouteContext, { pieces, length }: Pieces, headers: Record<string, string> = {}): Response {
  const refusal = holdBytes(c.env, length)
  if (refusal !== null) return cut(c, refusal)
  const rest = pieces.values()
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const { done, value } = rest.next()
        if (done === true) controller.close()
        else controller.enqueue(value)
      },
    },
    { highWaterMark: 0 },
  )
  return respond(c, body, 200, { ...headers, 'Content-Length': String(length) })
}

/** An answer outside of the envelope. @param json text */
export function text(c: RouteContext, json: string, headers?: Record<string, string>): Response {
  const { limits, keys } = c.env
  limits.time.charge(keys, writeMs(json.length))
  const refusal = holdUnsent(c.env, json)
  return refusal === null ? respond(c, json, 200, headers) : cut(c, refusal)
}

/** An answer that says nothing more. */
export function noContent(c: RouteContext, status: 204 | 304 = 204, more?: Record<string, string>): Response {
  return new Response(null, { status, headers: { ...c.env.headers, ...more } })
}

/** A refusal as HTTP. @param data only where an error still says something */
export function fail(
  c: RouteContext,
  refusal: Refusal,
  { data = null, headers }: { data?: unknown; headers?: Record<string, string> } = {},
): Response {
  const { code } = refusal
  c.env.answered(code)
  return respond(c, JSON.stringify(errorBody(c.env.request.url, refusal, data)), errors[code].status, {
    ...refusalHeaders(refusal),
    ...headers,
  })
}

/** A refusal of the core. */
export function refused(c: RouteContext, refusal: Refusal): Response {
  // Our own fault: the routes say so with the request id, in the answer and in the log.
  if (refusal.code === 'internal') throw new Error(refusal.message)
  return fail(c, refusal)
}

/** A refusal that ends the connection, with what is still to come over it. */
export function cut({ env }: RouteContext, refusal: Refusal): Response {
  refuseEarly(env, refusal, true)
  return RESPONSE_ALREADY_SENT
}
