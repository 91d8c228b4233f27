import * as v from 'valibot'
import type { ErrorCode } from './codes.js'
import { attempt, id, list, resultEntries, shortText, submissionWarning, taskErrorCode } from './fields.js'
import { outputChannel, parserOf } from './messages.js'

// What the service says to submitters. Apart from what they say, of which a client has no use for the schemas.

/** The WebSocket subprotocol of submitter sessions. */
export const CLIENT_PROTOCOL = 'inference-client.v1'
/** Where a submitter opens its session. */
export const CLIENT_PATH = '/api/v1/tasks/connect'
/** The most submissions of one session that may wait for their answer. */
export const MAX_IN_FLIGHT = 1000

/** What a submitter calls a submission until it has its answer. */
export const ref = shortText(1, 128)
export const offset = v.pipe(
  v.number('must be an integer from 0'),
  v.safeInteger('must be an integer from 0'),
  v.minValue(0, 'must be an integer from 0'),
)
const time = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** The codes of an `error` message: those of REST, and what a frame can have wrong. */
export const clientErrorCode = v.picklist([
  'invalid_message',
  'unknown_type',
  'unauthorized',
  'forbidden',
  'conflict',
  'too_large',
  'task_not_found',
  'rate_limited',
  'queue_full',
  'unavailable',
  'stopping',
  'internal',
])
export type ClientErrorCode = v.InferOutput<typeof clientErrorCode>

const codes: ReadonlySet<string> = new Set(clientErrorCode.options)
const isClientCode = (code: string): code is ClientErrorCode => codes.has(code)
/** What sessions call what REST calls otherwise. */
const OTHER_NAMES: Partial<Record<ErrorCode, ClientErrorCode>> = {
  invalid_request: 'invalid_message',
  not_owner: 'unavailable',
}
/** The code as sessions know it; one that only REST has never comes from a submission. */
export const clientCode = (code: ErrorCode): ClientErrorCode =>
  OTHER_NAMES[code] ?? (isClientCode(code) ? code : 'internal')

const status = v.picklist(['pending', 'in_progress', 'completed', 'submitted', 'failed', 'timeout'])
const result = v.object({
  output: v.string(),
  confidence: v.nullable(v.number()),
  completed_at: v.nullable(time),
  inference_node_id: v.nullable(v.string()),
  ...resultEntries,
})

/** What the coordinator may say to a submitter, by `type`. */
export const clientServerMessages = {
  'session.welcome': v.object({
    type: v.literal('session.welcome'),
    protocol: v.literal(1),
    server_time: time,
    max_in_flight: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  }),
  'session.authenticated': v.object({
    type: v.literal('session.authenticated'),
    role: v.string(),
    expires_at: v.nullable(time),
  }),
  'task.submitted': v.object({
    type: v.literal('task.submitted'),
    ref,
    task_id: id,
    status,
    warnings: v.optional(list(submissionWarning)),
  }),
  'task.status': v.object({
    type: v.literal('task.status'),
    task_id: id,
    status: v.picklist(['pending', 'in_progress']),
    attempt: offset,
  }),
  'task.output': v.object({
    type: v.literal('task.output'),
    task_id: id,
    attempt,
    offset,
    delta: v.string(),
    /** Left out: text. */
    channel: v.optional(outputChannel),
  }),
  'task.result': v.object({
    type: v.literal('task.result'),
    task_id: id,
    status: v.picklist(['completed', 'submitted', 'failed', 'timeout']),
    result: v.nullable(result),
    error: v.nullable(v.string()),
    /** The attempt that the result is of. */
    attempt: v.optional(attempt),
    /** What was wrong with the task, in the words of its node. */
    code: v.optional(taskErrorCode),
  }),
  'session.drain': v.object({
    type: v.literal('session.drain'),
    reason: v.string(),
    reconnect_after: v.pipe(v.number(), v.minValue(0)),
    /** Where the session goes on, when it is elsewhere. */
    reconnect_to: v.optional(shortText(1, 2048)),
  }),
  error: v.object({
    type: v.literal('error'),
    code: clientErrorCode,
    message: v.string(),
    ref: v.optional(ref),
    task_id: v.optional(id),
  }),
} as const
/** Any message to a submitter. */
export type ClientServerMessage = v.InferOutput<(typeof clientServerMessages)[keyof typeof clientServerMessages]>

/** What the core answers: everything but how a session begins and ends. */
export type ClientAnswer = Exclude<
  ClientServerMessage,
  { type: 'session.welcome' | 'session.authenticated' | 'session.drain' }
>

/** Parses one message to a submitter. */
export const parseClientServerMessage = parserOf(clientServerMessages)
