import * as v from 'valibot'
import {
  amount,
  id,
  inferTime,
  jsonObject,
  list,
  maybe,
  model,
  models,
  nodeStatus,
  pageSize,
  resultEntries,
  share,
  shortText,
  slots,
  text,
} from './fields.js'
import { fillParams } from './params.js'
import { proofEntries } from './signed.js'
import { traceparent } from './traceparent.js'

/** A body is an object with these fields; unknown extra fields are ignored. */
const body = <E extends v.ObjectEntries>(entries: E) => v.object(entries, 'must be a JSON object')

/** `POST /api/v1/nodes/register`. `public_key` is stored as given: clients that exist send placeholders. */
export const registerBody = body({
  node_id: id,
  endpoint: shortText(0, 2048),
  public_key: shortText(1, 1024),
  supported_models: models,
  performance_score: v.optional(share, 1),
  node_address: maybe(shortText(0, 256)),
  max_concurrent_tasks: v.optional(slots, 1),
})
export type RegisterBody = v.InferOutput<typeof registerBody>

/** `POST /api/v1/nodes/heartbeat`. */
export const heartbeatBody = body({ node_id: id, status: nodeStatus })

const CALLBACK_URL = 'must be an http or https URL of at most 2048 characters, without user, password and spaces'
const isCallbackUrl = (text: string): boolean => {
  // What is not seen in it would be left out of it, or forge what it is shown in.
  if (!/^https?:\/\//i.test(text) || /[\s\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text) || !URL.canParse(text)) return false
  const { username, password, hostname } = new URL(text)
  return username === '' && password === '' && hostname !== ''
}
/** Where the end of a task is told. */
const callbackUrl = v.pipe(
  v.string(CALLBACK_URL),
  v.maxLength(2048, CALLBACK_URL),
  v.check(isCallbackUrl, CALLBACK_URL),
)

/** The fields of a submission, over REST and in a session. */
export const submissionEntries = {
  task_id: maybe(id),
  user_address: shortText(1, 256),
  user_input: text,
  context: v.optional(v.nullable(text), ''),
  fee: v.optional(amount),
  nonce: v.optional(amount),
  infer_fee: amount,
  max_infer_time: inferTime,
  model_name: maybe(model),
  model_type: maybe(model),
  signed_tx: maybe(text),
  is_encrypted: maybe(v.boolean('must be a boolean')),
  signer_public_key: maybe(shortText(0, 1024)),
  params: maybe(jsonObject),
  callback_url: maybe(callbackUrl),
  traceparent,
}
const submission = body(submissionEntries)
type SubmissionFields = v.InferOutput<typeof submission>

/** Checked by every schema of a submission, of `MODEL_FIELDS`; said of `model_name`, also where other fields are wrong too. */
export const namesModel = (s: Pick<SubmissionFields, 'model_name' | 'model_type'>): boolean =>
  (s.model_name ?? s.model_type) != null
export const MODEL_FIELDS = [['model_name'], ['model_type']] as const

const leftOut = (s: SubmissionFields): readonly ('fee' | 'nonce')[] =>
  (['fee', 'nonce'] as const).filter((field) => s[field] === undefined)

/** A submission with its defaults filled in. */
export const fillSubmission = (s: SubmissionFields): Submission => ({
  task_id: s.task_id ?? null,
  user_address: s.user_address,
  user_input: s.user_input,
  context: s.context ?? '',
  fee: s.fee ?? 0,
  nonce: s.nonce ?? 0,
  infer_fee: s.infer_fee,
  max_infer_time: s.max_infer_time,
  model_name: s.model_name ?? s.model_type ?? '',
  signed_tx: s.signed_tx ?? null,
  signer_public_key: s.signer_public_key ?? null,
  is_encrypted: s.is_encrypted ?? false,
  ...fillParams(s.params),
  callback_url: s.callback_url ?? null,
  traceparent: s.traceparent ?? null,
  left_out: s.signed_tx == null ? undefined : leftOut(s),
})
export interface Submission {
  task_id: string | null
  user_address: string
  user_input: string
  context: string
  fee: number
  nonce: number
  infer_fee: number
  max_infer_time: number
  model_name: string
  signed_tx: string | null
  signer_public_key: string | null
  is_encrypted: boolean
  /** How its answer is to be made, as JSON; and what a node has to understand for that, see wire/params. */
  params: string | null
  needs: number
  /** Where its end is told. */
  callback_url?: string | null
  /** The trace that it is a part of, see wire/traceparent. Says nothing of what is wanted: a repeat may have another. */
  traceparent?: string | null
  /** Which of them are taken from the transaction, where there is one: clients leave out what is 0. */
  left_out?: readonly ('fee' | 'nonce')[] | undefined
  /** Of a request that a client may repeat: a hash of who asks, and what. */
  join_key?: string
  /** What an encrypted one says, once a door has decrypted it, and what opens it again. */
  opened?: { user_input: string; context: string; keys: string }
  /** What its `signed_tx` is good for, once a door has checked and verified it; `fee` and `nonce` are those of the transaction then. */
  paid?: Paid
}

/** A verified payment. The origin is `user_address`. */
export interface Paid {
  /** 64 hex digits, lower case. */
  txid: string
  /** The account of the origin on the chain, as it was a few seconds ago: micro-STX. Null where nobody could tell. */
  account: { nonce: number; balance: number } | null
}

/**
 * `POST /api/v1/tasks/submit`, defaults filled in: `model_type` is a synonym of `model_name`, a missing context is empty.
 */
export const submitBody = v.pipe(
  submission,
  v.forward(v.partialCheck(MODEL_FIELDS, namesModel, 'is missing'), ['model_name']),
  v.transform(fillSubmission),
)

/** `POST /api/v1/tasks/batch`: each entry is parsed by itself, so that one bad entry does not fail the rest. */
export const batchBody = body({
  tasks: v.pipe(
    list(v.unknown(), 'must be an array of submissions'),
    v.maxLength(1000, 'must hold at most 1000 submissions'),
  ),
})

/** The query of `GET /api/v1/tasks`. `cursor` is what the page before gave as `next_cursor`. */
export const listQuery = v.object({
  status: maybe(
    v.picklist(
      ['pending', 'in_progress', 'completed', 'submitted', 'failed', 'timeout'],
      'must be one of pending, in_progress, completed, submitted, failed, timeout',
    ),
  ),
  model: maybe(model),
  user: maybe(shortText(1, 256)),
  node: maybe(id),
  cursor: maybe(
    v.pipe(v.string(), v.regex(/^[0-9]{1,15}$/, 'must be a next_cursor of an earlier page'), v.transform(Number)),
  ),
  limit: v.optional(pageSize, '50'),
})

/** The longest that an answer may be waited for, seconds. */
export const MAX_WAIT_SECONDS = 600
const WAIT = `must be a whole number of seconds from 0 to ${MAX_WAIT_SECONDS}`
/** The query of what may be waited for: `wait` in seconds. */
export const waitQuery = v.object({
  wait: maybe(v.pipe(v.string(), v.regex(/^\d{1,3}$/, WAIT), v.transform(Number), v.maxValue(MAX_WAIT_SECONDS, WAIT))),
})
export type WaitQuery = v.InferOutput<typeof waitQuery>

/** What a node may sign its results with. */
const proof = { timestamp: maybe(proofEntries.timestamp), signature: maybe(proofEntries.signature) }

/** `POST /api/v1/tasks/complete`. */
export const completeBody = body({
  task_id: id,
  output: text,
  confidence: share,
  inference_node_id: id,
  ...resultEntries,
  ...proof,
})

/** `POST /api/v1/tasks/fail`. `error` is whole here, as it is signed; `cutReason` of it is kept. */
export const failBody = body({
  task_id: id,
  inference_node_id: id,
  error: text,
  retryable: v.optional(v.boolean('must be a boolean'), true),
  code: maybe(shortText(1, 64)),
  ...proof,
})

const ADDRESS = shortText(1, 256)
/** `POST /api/v1/auth/challenge`. */
export const challengeBody = body({ address: ADDRESS })
/** `POST /api/v1/auth/token`. */
export const walletBody = body({ address: ADDRESS, public_key: shortText(0, 1024), signature: shortText(0, 1024) })
