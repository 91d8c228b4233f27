import type * as v from 'valibot'
import type { Action } from '../rules/access.js'
import type { ErrorCode } from '../wire/codes.js'
import type { AnswerHeader } from './answer-headers.js'

/** A query: every parameter is text, at most once. */
export type Query = v.GenericSchema & { readonly entries: v.ObjectEntries }

/** An answer outside of the envelope. */
export interface Bare {
  readonly kind: 'bare'
  readonly media: readonly string[]
  /** Where it is JSON. */
  readonly schema?: v.GenericSchema | undefined
  /** Where it is server-sent events: each, with its data parsed. */
  readonly event?: v.GenericSchema | undefined
}
/** @param media its media types, such as `text/html` */
export const bare = (media: string | readonly string[], schema?: v.GenericSchema, event?: v.GenericSchema): Bare => ({
  kind: 'bare',
  media: typeof media === 'string' ? [media] : media,
  schema,
  event,
})
/** What comes as server-sent events. */
export const eventStream = (event: v.GenericSchema): Bare => bare(EVENT_STREAM, undefined, event)
export const EVENT_STREAM = 'text/event-stream'
/** Of a request that becomes tasks. */
export const traceHeaders = {
  traceparent: 'The trace that they are a part of, as W3C has it; what is none is ignored',
}

/** One route of the REST contract: the one place where it is said what it takes, what it answers, and who may ask. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** As hono has it: `:task_id` is a parameter. */
  readonly path: string
  /** What it is in the table of who may do what; `signature`: whoever has signed the body. */
  readonly action: Action | 'signature'
  /** A signature in the body may take the place of a token. */
  readonly signable?: true
  /** What it does, in a few words. */
  readonly summary: string
  /** What has to be known besides, in CommonMark. */
  readonly description?: string
  readonly query?: Query
  /** Header fields that it reads, and what each says. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: v.GenericSchema
  /**
   * What it answers, by status. A schema is that of `data` in the envelope, of an error too; null: there is no body.
   */
  readonly answers: Readonly<Record<number, v.GenericSchema | Bare | null>>
  /** What it says in the headers of its answers, beside what every answer says. */
  readonly says?: readonly AnswerHeader[]
  /** Whether the `callback_url` of its body is told of an end. */
  readonly callsBack?: true
  /** What its errors are as a whole, where they are not in the envelope: of a route that speaks as another service does. */
  readonly failure?: v.GenericSchema
  /** Refusals of its own, beside those that every route has. */
  readonly refuses?: readonly ErrorCode[]
}

/** Routes by their operation ids. */
export type RouteTable = Readonly<Record<string, Route>>

/** The body of a route as its handler gets it; undefined where it has none. */
export type BodyOf<R extends Route> = R['body'] extends v.GenericSchema ? v.InferOutput<R['body']> : undefined
/** The same of its query. */
export type QueryOf<R extends Route> = R['query'] extends Query ? v.InferOutput<R['query']> : undefined
/** What a route shows when all went well. */
export type DataOf<R extends Route> = R['answers'][200] extends infer S extends v.GenericSchema
  ? v.InferInput<S>
  : unknown
