import * as v from 'valibot'
import type { ErrorCode } from './codes.js'
import { list, maybe, model, text } from './fields.js'

// What clients of OpenAI's API send and expect, as far as the service understands it.

/** The most messages of a chat, and texts of one request for embeddings. */
const MAX_MESSAGES = 4096
const MAX_INPUTS = 2048

const message = v.looseObject({ role: v.string('must be a string') }, 'must be an object with a role')
const messages = v.pipe(
  list(message, 'must be an array of messages'),
  v.minLength(1, 'must hold at least one message'),
  v.maxLength(MAX_MESSAGES, `must hold at most ${MAX_MESSAGES} messages`),
)
export type ChatMessage = v.InferOutput<typeof message>

const boolean = v.boolean('must be a boolean')
const only = <T extends number | boolean>(value: T, why: string) => maybe(v.literal(value, why))
/** What is the service's own, and is not passed on. */
const own = {
  model,
  stream: maybe(boolean),
  stream_options: maybe(v.looseObject({ include_usage: maybe(boolean) })),
  n: only(1, 'must be 1: one answer is made at a time; send several requests'),
  store: only(false, 'must be false: this service stores no completions for later'),
  audio: maybe(v.undefined_('is not supported: answers are text')),
  modalities: maybe(v.array(v.literal('text', 'must be "text": answers are text'))),
  metadata: maybe(v.record(v.string(), v.unknown())),
  user: maybe(v.string()),
  service_tier: maybe(v.unknown()),
}
const ownNames: ReadonlySet<string> = new Set(Object.keys(own))

/** Of a body, what is passed on to who works on it. */
export const paramsOf = (body: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(body).filter(([name, value]) => !ownNames.has(name) && value != null))

const BODY = 'must be a JSON object'
export const chatBody = v.looseObject({ ...own, messages }, BODY)
export const completionBody = v.looseObject(
  {
    ...own,
    prompt: v.union(
      [
        text,
        v.pipe(
          v.tuple([text]),
          v.transform(([one]) => one),
        ),
      ],
      'must be a text',
    ),
  },
  BODY,
)
export const embeddingBody = v.looseObject(
  {
    ...own,
    input: v.union(
      [text, v.pipe(list(text), v.minLength(1), v.maxLength(MAX_INPUTS))],
      `must be a text, or an array of 1 to ${MAX_INPUTS} texts`,
    ),
    encoding_format: maybe(v.picklist(['float', 'base64'], 'must be float or base64')),
  },
  BODY,
)
export type ChatBody = v.InferOutput<typeof chatBody>
export type CompletionBody = v.InferOutput<typeof completionBody>
export type EmbeddingBody = v.InferOutput<typeof embeddingBody>

/** Where the OpenAI-compatible routes are. */
export const OPENAI_PATH = '/v1/'

/** An error as clients of OpenAI's API read it. */
export interface OpenAiError {
  message: string
  type: 'invalid_request_error' | 'rate_limit_error' | 'server_error'
  /** The field that is wrong, where it is one. */
  param: string | null
  code: string | null
}

const kinds: Partial<Record<ErrorCode, Pick<OpenAiError, 'type' | 'code'>>> = {
  unauthorized: { type: 'invalid_request_error', code: 'invalid_api_key' },
  forbidden: { type: 'invalid_request_error', code: 'forbidden' },
  conflict: { type: 'invalid_request_error', code: 'conflict' },
  too_large: { type: 'invalid_request_error', code: 'too_large' },
  rate_limited: { type: 'rate_limit_error', code: 'rate_limit_exceeded' },
  unavailable: { type: 'server_error', code: 'overloaded' },
  queue_full: { type: 'server_error', code: 'overloaded' },
  stopping: { type: 'server_error', code: 'overloaded' },
  not_owner: { type: 'server_error', code: 'overloaded' },
  internal: { type: 'server_error', code: null },
}
/** The field at the beginning of a sentence that names one. */
const FIELD = /^([a-z_]+(?:\.[\w]+)*): /

/** One of our errors in their form. */
export function openAiError(code: ErrorCode, message: string): { error: OpenAiError } {
  const kind = kinds[code] ?? { type: 'invalid_request_error', code: null }
  const param = kind.type === 'invalid_request_error' ? (FIELD.exec(message)?.[1] ?? null) : null
  return { error: { message, ...kind, param } }
}
