import * as v from 'valibot'
import {
  amount,
  attempt,
  featureNames,
  id,
  inferTime,
  jsonObject,
  list,
  MAX_MODELS,
  maybe,
  model,
  models,
  reason,
  resultEntries,
  share,
  shortText,
  slots,
  statusReason,
  text,
} from './fields.js'
import { integerFrom } from './integer.js'
import { parseJsonInSteps } from './json-steps.js'
import { parseJson, type Json } from './json.js'
import { MAX_FRAME_MESSAGES, outputChannel, parserOf } from './messages.js'
import { traceparent } from './traceparent.js'

export type { OutputChannel } from './messages.js'

/** The WebSocket subprotocol of node sessions. */
export const NODE_PROTOCOL = 'inference-node.v1'
/** Where a node opens its session. */
export const NODE_PATH = '/api/v1/nodes/connect'
/** The most attempts a hello may name: 1,024 that run, and results that are not settled yet, of which our own node keeps 4,096. */
const MAX_UNSETTLED = 8192
/** The most tasks a heartbeat may name. */
const MAX_RUNNING = 1024
/** The largest hello, in bytes: more is not read before a node has proven its key. */
export const MAX_HELLO_BYTES = 1024 * 1024

/** How many tasks a node may hold beyond its slots. */
export const prefetch = integerFrom(0, 64)

const held = v.object({ task_id: id, attempt })
const sessionStatus = v.picklist(['online', 'busy', 'maintenance'], 'must be one of online, busy, maintenance')
const seconds = v.pipe(v.number(), v.minValue(0))
const time = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const count = v.pipe(
  v.number('must be an integer from 0'),
  v.safeInteger('must be an integer from 0'),
  v.minValue(0, 'must be an integer from 0'),
)

/** What a node may say, by `type`. */
export const nodeMessages = {
  'session.hello': v.object({
    type: v.literal('session.hello'),
    node_id: id,
    public_key: shortText(1, 256),
    signature: shortText(1, 256),
    supported_models: models,
    max_concurrent_tasks: v.optional(slots, 1),
    performance_score: v.optional(share, 1),
    endpoint: v.optional(shortText(0, 2048), ''),
    node_address: maybe(shortText(0, 256)),
    status: v.optional(sessionStatus, 'online'),
    running: v.optional(v.pipe(list(held), v.maxLength(MAX_UNSETTLED)), []),
    batch: v.optional(v.boolean('must be a boolean'), false),
    take_over: v.optional(v.boolean('must be a boolean'), false),
    /** What lets its key in, once. */
    invite: maybe(shortText(1, 256)),
    agent: maybe(shortText(0, 256)),
    features: v.optional(featureNames, []),
    prefetch: v.optional(v.fallback(prefetch, 0), 0),
  }),
  'node.heartbeat': v.object({
    type: v.literal('node.heartbeat'),
    status: maybe(sessionStatus),
    reason: maybe(statusReason),
    running: maybe(v.pipe(list(id), v.maxLength(MAX_RUNNING))),
    prefetch: maybe(prefetch),
  }),
  'task.accept': v.object({ type: v.literal('task.accept'), task_id: id, attempt }),
  'task.reject': v.object({ type: v.literal('task.reject'), task_id: id, attempt, reason }),
  'task.output': v.object({
    type: v.literal('task.output'),
    task_id: id,
    attempt,
    seq: count,
    delta: text,
    channel: v.optional(outputChannel, 'text'),
  }),
  'task.complete': v.object({
    type: v.literal('task.complete'),
    task_id: id,
    attempt,
    output: text,
    confidence: share,
    ...resultEntries,
    /** Of `resultText` by the key of the session, 64 bytes in hex. What is wrong with it is said by who verifies. */
    signature: maybe(shortText(1, 256)),
  }),
  'task.fail': v.object({
    type: v.literal('task.fail'),
    task_id: id,
    attempt,
    error: reason,
    retryable: v.boolean('must be a boolean'),
    /** What is wrong with the task, for who asked; one that is not known says nothing. */
    code: maybe(shortText(1, 64)),
  }),
  'session.drain': v.object({ type: v.literal('session.drain') }),
} as const
export type NodeMessage = v.InferOutput<(typeof nodeMessages)[keyof typeof nodeMessages]>
export type Hello = v.InferOutput<(typeof nodeMessages)['session.hello']>

/** The codes of an `error` message. */
export const sessionErrorCode = v.picklist([
  'invalid_message',
  'unknown_type',
  'unauthorized',
  'key_mismatch',
  'not_holder',
  'stale_attempt',
  'rate_limited',
  'internal',
])
export type SessionErrorCode = v.InferOutput<typeof sessionErrorCode>

/** What the coordinator may say, by `type`. */
export const serverMessages = {
  'session.challenge': v.object({
    type: v.literal('session.challenge'),
    protocol: v.literal(1),
    nonce: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    server_time: time,
  }),
  'session.welcome': v.object({
    type: v.literal('session.welcome'),
    session_id: v.string(),
    heartbeat_interval: seconds,
    accept_timeout: seconds,
    reconnect_grace: seconds,
    max_message_bytes: count,
    resumed: list(held),
    dropped: list(held),
  }),
  'node.heartbeat_ack': v.object({ type: v.literal('node.heartbeat_ack'), server_time: time }),
  'task.assign': v.object({
    type: v.literal('task.assign'),
    task_id: id,
    attempt,
    model_name: model,
    model_type: v.string(),
    user_input: text,
    context: text,
    max_infer_time: inferTime,
    infer_fee: amount,
    lease_expires_at: time,
    signed_tx: v.nullable(text),
    stream: v.boolean(),
    /** How it is to be generated. Only of nodes that have the feature. */
    params: maybe(jsonObject),
    /** The trace that the task is a part of, where its submitter has named one. */
    traceparent,
    /** What a node that holds tasks beyond its slots begins first: the highest. Only of nodes that do. */
    priority: maybe(v.pipe(v.number(), v.integer(), v.minValue(0))),
  }),
  'task.settled': v.object({ type: v.literal('task.settled'), task_id: id, attempt, status: v.string() }),
  'task.cancel': v.object({
    type: v.literal('task.cancel'),
    task_id: id,
    attempt,
    reason: v.picklist(['cancelled', 'timeout', 'superseded', 'recalled']),
  }),
  'session.drain': v.object({
    type: v.literal('session.drain'),
    reason: v.string(),
    reconnect_after: seconds,
    /** Where the session goes on, when it is elsewhere. */
    reconnect_to: v.optional(shortText(1, 2048)),
  }),
  error: v.object({
    type: v.literal('error'),
    code: sessionErrorCode,
    message: v.string(),
    task_id: v.optional(id),
    attempt: v.optional(attempt),
  }),
} as const
export type ServerMessage = v.InferOutput<(typeof serverMessages)[keyof typeof serverMessages]>
export type Assignment = v.InferOutput<(typeof serverMessages)['task.assign']>

/** What a frame holds, or why it cannot be taken, as a sentence. */
export type Frame = { ok: true; values: unknown[] } | { ok: false; problem: string }

const NO_FRAME: Frame = {
  ok: false,
  problem: `a frame must be a JSON object, or an array of 1 to ${MAX_FRAME_MESSAGES} of them`,
}

/** The messages of one frame as plain values: never throws, and takes no longer than the size of the frame explains. */
export const splitFrame = (frame: string): Frame => messagesOf(parseJson(frame))

/** The same in steps of about a millisecond, for large frames. */
export function* splitFrameInSteps(frame: string): Generator<void, Frame> {
  return messagesOf(yield* parseJsonInSteps(frame))
}

function messagesOf(json: Json): Frame {
  if (!json.ok) return json.code === 'invalid' ? NO_FRAME : { ok: false, problem: `the frame ${json.problem}` }
  const { value } = json
  if (!Array.isArray(value)) return { ok: true, values: [value] }
  return value.length >= 1 && value.length <= MAX_FRAME_MESSAGES ? { ok: true, values: value } : NO_FRAME
}

const proof = v.pick(nodeMessages['session.hello'], ['type', 'node_id', 'public_key', 'signature'])
export type Proof = v.InferOutput<typeof proof>
/** Parses what proves a hello, before anybody looks at the rest of it. */
export const parseProof = parserOf({ 'session.hello': proof })

/** Parses one message of a node. */
export const parseNodeMessage = parserOf(nodeMessages, {
  'session.hello': { running: MAX_UNSETTLED, supported_models: MAX_MODELS },
  'node.heartbeat': { running: MAX_RUNNING },
})
/** Parses one message of a coordinator. */
export const parseServerMessage = parserOf(serverMessages)
