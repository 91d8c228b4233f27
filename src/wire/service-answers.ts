import * as v from 'valibot'
import { callbackState } from './callbacks.js'
import { nodeStatus } from './fields.js'
import { settlementState } from './settlement.js'

// What REST says of nodes, payees and the service itself, before it is in its envelope.

const integer = v.pipe(v.number(), v.integer())
const maybeInteger = v.nullable(integer)
const maybeText = v.nullable(v.string())

/** What is said of something that was done and has nothing to show: a sentence. */
export const saidView = v.string()

/** A node. Where it is and whose, only some may see: it is null for others. */
export const nodeView = v.object({
  node_id: v.string(),
  endpoint: maybeText,
  public_key: maybeText,
  status: nodeStatus,
  /** Why it is in maintenance, in its own words. */
  status_reason: maybeText,
  supported_models: v.pipe(v.array(v.string()), v.readonly()),
  performance_score: v.number(),
  last_heartbeat: integer,
  transport: v.picklist(['websocket', 'rest']),
  node_address: maybeText,
  in_progress_tasks: integer,
  max_concurrent_tasks: integer,
  drained: v.boolean(),
  probation: v.boolean(),
  payee: v.optional(maybeText),
  stake: v.optional(maybeInteger),
  not_covered: v.optional(maybeText),
  failures_in_row: integer,
  cooled_until: maybeInteger,
  average_inference_time: v.number(),
  /** The share of its newest attempts that ended well; null before the first. */
  success_rate: v.nullable(v.number()),
})
export type NodeListEntry = v.InferOutput<typeof nodeView>
/** All of them, or a page where one was asked for. */
export const nodesView = v.union([v.array(nodeView), v.object({ nodes: v.array(nodeView), next_cursor: maybeText })])

/** Counters. */
export const statsView = v.object({
  total_tasks: integer,
  pending_tasks: integer,
  processing_tasks: integer,
  completed_tasks: integer,
  submitted_tasks: integer,
  failed_tasks: integer,
  timeout_tasks: integer,
  total_nodes: integer,
  active_nodes: integer,
  online_nodes: integer,
  busy_nodes: integer,
  offline_nodes: integer,
  maintenance_nodes: integer,
  /** How many payments are in each state. */
  settlements: v.optional(v.object(v.entriesFromList(settlementState.options, integer))),
  /** How many callbacks are. */
  callbacks: v.optional(v.object(v.entriesFromList(callbackState.options, integer))),
  average_inference_time: v.number(),
  uptime_seconds: v.number(),
})
export type StatsView = v.InferOutput<typeof statsView>

/** What a coordinator knows of its cluster. `record`: the newest of its file; they are numbered from 1. */
export const clusterView = /* @__PURE__ */ (() =>
  v.object({
    coordinator: v.string(),
    role: v.picklist(['owner', 'follower', 'joining']),
    epoch: integer,
    record: integer,
    /** Where the owner is reached; null: none is there. */
    owner: maybeText,
    /** Of a follower, for how long it has been behind its owner; of the owner, how long its oldest turn waits for the log; ms. */
    behind_ms: integer,
    /** The others that follow, by their names. */
    followers: v.array(
      v.object({
        coordinator: v.string(),
        url: v.string(),
        record: integer,
        /** How many records it is behind the owner, and for how long, ms. */
        behind_records: integer,
        behind_ms: integer,
      }),
    ),
  }))()
export type ClusterReport = v.InferOutput<typeof clusterView>

/** `follower`, `joining`: of a coordinator that does not own the work of its cluster. */
export const healthView = /* @__PURE__ */ (() =>
  v.object({
    status: v.picklist(['healthy', 'unhealthy', 'follower', 'joining']),
    timestamp: integer,
    warning: v.optional(v.string()),
    cluster: v.optional(clusterView),
  }))()
export type HealthView = v.InferOutput<typeof healthView>

export const encryptionKeyView = v.object({ public_key: v.string(), signer_address: v.string() })

/** What a request of `/v1` becomes where it says nothing else of it: `user_address` is that of who asks. */
export const defaultsView = v.object({ user_address: v.string(), infer_fee: integer, max_infer_time: integer })
export type DefaultsView = v.InferOutput<typeof defaultsView>

/** Where the owner of an address lets a node be paid, and what proves it. */
export const delegationView = v.object({
  node_key: v.string(),
  address: v.string(),
  public_key: v.string(),
  signature: v.string(),
  created_at: integer,
})
export const delegationsPage = v.object({ delegations: v.array(delegationView), next_cursor: maybeText })

/** What a wallet has to sign. */
export const challengeView = v.object({ message: v.string(), expires_at: integer })
/** The token of a wallet that has signed in. */
export const walletTokenView = v.object({ token: v.string(), expires_at: integer })

/** What is out of the ordinary now. `kind` is open: more is watched for with time. Times: Unix ms. */
export const alertsView = v.object({
  alerts: v.array(
    v.object({
      kind: v.string(),
      subject: v.string(),
      message: v.string(),
      since: integer,
      last: integer,
      times: integer,
    }),
  ),
})
