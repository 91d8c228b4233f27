import * as v from 'valibot'
import { id, maybe, model, nodeStatus } from './fields.js'
import { attemptEnd, attemptFault, taskStatus } from './task-answers.js'
import { modelView } from './watch-answers.js'

// The live feed: what happens in the service, as server-sent events. Never a prompt, an output or a key.

const integer = v.pipe(v.number(), v.integer())
const maybeSeconds = v.nullable(v.number())
/** So many were left out before this one, because there were too many for one reader. */
const skipped = v.optional(integer)

export const feedTypes = ['task', 'node', 'tick'] as const
export type FeedType = (typeof feedTypes)[number]
const isType = (name: string): name is FeedType => (feedTypes as readonly string[]).includes(name)
const TYPES = `must be names of ${feedTypes.join(', ')}, with commas between`

/** The query of `GET /api/v1/events`. `types`: which events, with commas between; `model`: a full name; `node`: its id. */
export const feedQuery = v.object({
  types: maybe(
    v.pipe(
      v.string(),
      v.maxLength(64, TYPES),
      v.transform((text) => text.split(',')),
      v.check((names) => names.every(isType), TYPES),
      v.transform((names) => feedTypes.filter((type) => names.includes(type))),
    ),
  ),
  model: maybe(model),
  node: maybe(id),
})

export const feedEventData = {
  /** A task has another status. */
  task: v.object({
    id: v.string(),
    /** As its submitter wrote it. */
    model: v.string(),
    status: taskStatus,
    /** The number of its newest attempt; 0 before the first. */
    attempt: integer,
    /** That has it, or had it last; null before. */
    node: v.nullable(v.string()),
    /** How that attempt ended, where this is its end. */
    end: v.nullable(attemptEnd),
    fault: v.nullable(attemptFault),
    /** Since its submission, or since it was opened again. */
    ms: integer,
    skipped,
  }),
  /** A node counts as something else. */
  node: v.object({
    id: v.string(),
    /** Null: it was forgotten. */
    status: v.nullable(nodeStatus),
    /** Why it is in maintenance, in its own words. */
    reason: v.nullable(v.string()),
    skipped,
  }),
  /** Once a second. */
  tick: v.object({
    at_ms: integer,
    totals: v.object({
      waiting: integer,
      running: integer,
      oldest_waiting_seconds: maybeSeconds,
      failed_1h: integer,
      online_nodes: integer,
      busy_nodes: integer,
      offline_nodes: integer,
      maintenance_nodes: integer,
      slots: integer,
      free_slots: integer,
    }),
    /** What happened in the last whole second. */
    second: v.object({
      submitted: integer,
      started: integer,
      completed: integer,
      failed: integer,
      timeout: integer,
      cancelled: integer,
      requeued: integer,
    }),
    models: v.array(
      v.pick(modelView, [
        'model',
        'nodes',
        'slots',
        'free_slots',
        'waiting',
        'oldest_waiting_seconds',
        'running',
        'rate_1m',
      ]),
    ),
    skipped,
  }),
  /** What the reader has missed is not known any more: it has to ask for everything again. */
  reset: v.object({ skipped }),
}
type FeedEventData = { [Name in keyof typeof feedEventData]: v.InferOutput<(typeof feedEventData)[Name]> }
export type FeedTask = FeedEventData['task']
export type FeedNode = FeedEventData['node']
export type FeedTick = FeedEventData['tick']

/** An event of the feed by its name. */
export type FeedEvent = {
  [Name in keyof FeedEventData]: { event: Name; data: FeedEventData[Name] }
}[keyof FeedEventData]

/** What happens; the rest is for who has missed it. */
export type FeedItem = Exclude<FeedEvent, { event: 'reset' }>

/** The run of the service, and a number that grows in it. */
const place = v.pipe(v.string(), v.regex(/^[0-9a-f]{12}-\d{1,15}$/))
const event = <const N extends keyof typeof feedEventData>(name: N) =>
  v.object({ event: v.literal(name), id: place, data: feedEventData[name] })

/** The same as a server-sent event, its data parsed. */
export const feedEvent = v.union([event('task'), event('node'), event('tick'), event('reset')])
