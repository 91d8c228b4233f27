import { refuse, type Outcome } from '../lib/result.js'
import { ok, okPieces, refused, type RouteContext } from './answers.js'
import { LARGE_UNITS } from '../lib/json-pieces.js'
import { envelopeInSteps } from './large-answer.js'
import type { ReadGate } from './read-gate.js'

const GONE = refuse('unavailable', 'the connection has ended')

/** How a read is answered. */
export interface Read<T> {
  ask(): Promise<Outcome<T>>
  /** How long its texts are, about, in UTF-16 units. */
  size(value: T): number
  send(value: T): Response | Promise<Response>
}

/** A read whose answer may be large: few at once while such come. */
export async function read<T>(c: RouteContext, gate: ReadGate, { ask, size, send }: Read<T>): Promise<Response> {
  await gate.enter()
  let found = 0
  try {
    // Who has gone while this waited is not read for.
    const outcome = c.env.request.socket.destroyed ? GONE : await ask()
    if (!outcome.ok) return refused(c, outcome)
    found = size(outcome.value)
    return await send(outcome.value)
  } finally {
    gate.leave(found)
  }
}

/** A view whose texts may be of megabytes. @param size of its texts, about, in UTF-16 units */
export async function okLarge(
  c: RouteContext,
  view: unknown,
  size: number,
  headers: Record<string, string> = {},
): Promise<Response> {
  return size <= LARGE_UNITS
    ? ok(c, view, headers)
    : okPieces(c, await c.env.limits.time.inSteps(c.env.keys, envelopeInSteps(view)), headers)
}
