import * as v from 'valibot'
import { id, maybe, model, nodeStatus, pageSize } from './fields.js'
import { nodeView, statsView } from './service-answers.js'
import { attemptEnd, attemptFault } from './task-answers.js'

// What REST says to those who watch: rates by model, the service as a whole, and why a node has nothing to do.

const integer = v.pipe(v.number(), v.integer())
const maybeInteger = v.nullable(integer)
/** Seconds, with a fraction; null where there was nothing to measure. */
const maybeSeconds = v.nullable(v.number())

/** The middle and the slow end of what was measured in the last 15 minutes, seconds. */
const quantiles = {
  /** From the submission to the first accept. */
  wait_p50: maybeSeconds,
  wait_p95: maybeSeconds,
  /** From the accept to the first piece of text, of tasks whose text somebody reads as it comes. */
  first_word_p50: maybeSeconds,
  first_word_p95: maybeSeconds,
  /** From the accept to the end, of what was completed. */
  run_p50: maybeSeconds,
  run_p95: maybeSeconds,
}

/** What `model` says in the answers to those who watch, where a name has no row of its own, nor a family. */
export const OTHER_MODELS = 'other'

/** How a model stands: a name that a node has served since the start, a family, or `other` for all the rest. */
export const modelView = v.object({
  model: v.string(),
  /** That it belongs to; null where it belongs to none. */
  family: v.nullable(v.string()),
  /** Those that serve it now, busy or not. */
  nodes: integer,
  /** Of those nodes; a slot counts under each model of its node. */
  slots: integer,
  free_slots: integer,
  waiting: integer,
  oldest_waiting_seconds: maybeSeconds,
  running: integer,
  /** Completed a second, in the last minute. */
  rate_1m: v.number(),
  ...quantiles,
  /** Of completed tasks whose nodes say how many they made, in the last minute: completion tokens a second. */
  tokens_per_second: v.number(),
  /** When a new task is likely to be begun, seconds; null where no node serves it, or none was begun in the last minute. */
  eta_seconds: maybeSeconds,
  /** In the last hour. Cancelled ones are not among the failed. */
  completed_1h: integer,
  failed_1h: integer,
})
export type ModelView = v.InferOutput<typeof modelView>
/** The busiest first; at most 200 and `other`. */
export const modelsView = v.array(modelView)

/** How far back the series of an overview go, and how long a step of them is. */
export const overviewWindows = {
  '15m': { seconds: 900, step: 5 },
  '1h': { seconds: 3600, step: 60 },
  '24h': { seconds: 86_400, step: 300 },
} as const
export type OverviewWindow = keyof typeof overviewWindows

/** The query of `GET /api/v1/overview`. `model`: a `model` of `GET /api/v1/models`; without it all of them. */
export const overviewQuery = v.object({
  window: v.optional(v.picklist(['15m', '1h', '24h'], 'must be one of 15m, 1h, 24h'), '15m'),
  model: maybe(model),
})

/** What happened in each step. Null: nothing was measured in it. */
const counts = v.array(integer)
const means = v.array(maybeSeconds)
export const seriesView = v.object({
  /** When the first step begins, Unix ms. The last one is not over yet. */
  from_ms: integer,
  step_seconds: integer,
  submitted: counts,
  started: counts,
  completed: counts,
  failed: counts,
  timeout: counts,
  cancelled: counts,
  requeued: counts,
  /** Of what was completed: micro-STX, and tokens. */
  fees: counts,
  prompt_tokens: counts,
  completion_tokens: counts,
  wait_p50: means,
  wait_p95: means,
  first_word_p50: means,
  first_word_p95: means,
  run_p50: means,
  run_p95: means,
  /** How many waited at the end of each step, by model: the longest queues, and the rest as `other`. Null before the start. */
  waiting: v.array(v.object({ model: v.string(), counts: v.array(maybeInteger) })),
})
export type SeriesView = v.InferOutput<typeof seriesView>

/** The service as a whole. */
export const overviewView = v.object({
  /** When the service started, Unix ms. What was counted before is known by the minute, and not whole. */
  started_ms: integer,
  /** When it started, or the clock of its machine was set, in the last day: at most the newest 100, the oldest first. Unix ms. */
  breaks_ms: v.array(integer),
  /** As `GET /api/v1/stats` has them. */
  totals: statsView,
  oldest_waiting_seconds: maybeSeconds,
  /** Failed or timed out in the last hour, without what was cancelled. */
  failed_1h: integer,
  completed_1h: integer,
  /** Of the nodes that are there. */
  slots: integer,
  free_slots: integer,
  series: seriesView,
  /** How attempts ended in the window other than well, the most frequent first. */
  failures: v.array(v.object({ end: attemptEnd, fault: v.nullable(attemptFault), count: integer })),
})
export type OverviewView = v.InferOutput<typeof overviewView>

/**
 * The query of `GET /api/v1/nodes`. `cursor` is what the page before gave as `next_cursor`. Without any of it: all nodes as an
 * array. `model`: one that they list, or the family of one. `q`: is in their id, without regard to case.
 */
export const nodesFilterQuery = v.object({
  cursor: maybe(id),
  limit: maybe(pageSize),
  status: maybe(nodeStatus),
  model: maybe(model),
  q: maybe(
    v.pipe(v.string(), v.minLength(1, 'must not be empty'), v.maxLength(128, 'must have at most 128 characters')),
  ),
})

/** Why waiting tasks did not go to a node: how many of those that wait for its kind of work. */
export const idleBecause = v.object({
  /** It does not serve their model. */
  model: integer,
  /** It lacks a feature that they need. */
  feature: integer,
  /** It has failed them, and others have not. */
  failed_before: integer,
  /** It is in cooldown after failures in a row. */
  cooldown: integer,
  /** An operator has drained it, or it is in maintenance. */
  drained: integer,
})

/** Of the newest attempts of a node. Times: Unix ms. */
const nodeAttempt = v.object({
  task_id: v.string(),
  attempt: integer,
  model_name: v.string(),
  assigned_ms: integer,
  accepted_ms: maybeInteger,
  first_word_ms: maybeInteger,
  /** Null while it works on it. */
  ended_ms: maybeInteger,
  end: v.nullable(attemptEnd),
  fault: v.nullable(attemptFault),
  completion_tokens: maybeInteger,
})

/** A node, with what it did of late and why it has nothing to do. */
export const nodeDetailView = v.object({
  ...nodeView.entries,
  /** Since when its session is there, Unix ms; null without one. */
  session_since_ms: maybeInteger,
  /** What it runs, in its own words. */
  agent: v.nullable(v.string()),
  /** What it understands beside plain text. */
  features: v.array(v.string()),
  /** What it holds, and the newest that have ended, at most 20 of each; none for who may not see the tasks of all. */
  recent_attempts: v.array(nodeAttempt),
  /** Of those attempts. */
  rates: v.object({
    completed: integer,
    failed: integer,
    run_p50: maybeSeconds,
    run_p95: maybeSeconds,
    /** While it works. */
    tokens_per_second: v.nullable(v.number()),
    /** The median of its models' run times, of all nodes, seconds. */
    models_run_p50: maybeSeconds,
  }),
  /** Of the other reasons than `model`, among the first 256 that wait for its kind of work; null while it is full. */
  idle_because: v.nullable(idleBecause),
})
export type NodeDetailView = v.InferOutput<typeof nodeDetailView>

const settingValue = v.nullable(
  v.union([v.string(), v.number(), v.boolean(), v.array(v.string()), v.record(v.string(), v.array(v.string()))]),
)
/** How the service is set up. */
export const configurationView = v.object({
  version: v.string(),
  /** The version of Node.js. */
  runtime: v.string(),
  /** As in the configuration file, with what flags and defaults have made of it; without the sections that are not there. */
  settings: v.array(
    v.object({
      /** Such as `inference.api_port`. */
      key: v.string(),
      /** Null where it is not set, and where it is `hidden`. Of a URL its scheme, host and port. */
      value: settingValue,
      default: settingValue,
      /** It is set, and not shown: it is a secret, or leads to one. */
      hidden: v.boolean(),
    }),
  ),
})
export type ConfigurationView = v.InferOutput<typeof configurationView>
