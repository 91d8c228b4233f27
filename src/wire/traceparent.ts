import * as v from 'valibot'

// W3C Trace Context: which trace something belongs to, and which span of it is above.

/** A version, the trace, the span, flags; a later version than ours may go on. Lower case only; no id is all zeros. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:$|-.{0,200}$)/
/** One that is as we write it: nearly all of them. Looked for first, for it takes a fifth of the time. */
const CLEAN = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]$/
/** The flags that are known: sampled, and that the id is random. */
const KNOWN_FLAGS = 0x03

/** What a `traceparent` says. */
export interface TraceParent {
  /** 32 hex digits. */
  traceId: string
  /** 16 hex digits. */
  spanId: string
  /** 1: it is sampled. */
  traceFlags: number
}

/** Null for what is none: the standard says to ignore it then. */
export function readTraceparent(said: string): TraceParent | null {
  const [whole, version, traceId, spanId, flags] = TRACEPARENT.exec(said) ?? []
  if (traceId === undefined || spanId === undefined || (version === '00' && whole?.length !== 55)) return null
  return { traceId, spanId, traceFlags: Number(`0x${flags}`) & KNOWN_FLAGS }
}

/** In the form of version 00. */
export const writeTraceparent = ({ traceId, spanId, traceFlags }: TraceParent): string =>
  `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`

/** The same `traceparent` in the form of version 00; null for what is none. */
export const cleanTraceparent = (said: string): string | null => {
  if (CLEAN.test(said)) return said
  const parent = readTraceparent(said)
  return parent === null ? null : writeTraceparent(parent)
}

/** An optional field: what is no `traceparent` is as good as none, and no error. */
export const traceparent = v.fallback(v.nullish(v.pipe(v.string(), v.transform(cleanTraceparent))), null)
