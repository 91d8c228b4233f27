import * as v from 'valibot'
import { finishReason, jsonObject } from './fields.js'

// What clients of OpenAI's API are answered, whole.

const integer = v.pipe(v.number(), v.integer())
const maybeText = v.nullable(v.string())
const usage = { prompt_tokens: integer, total_tokens: integer }
const completionUsage = v.object({ ...usage, completion_tokens: integer })

const failureEntries = {
  message: v.string(),
  type: v.picklist(['invalid_request_error', 'rate_limit_error', 'server_error']),
  /** The field that is wrong, where it is one. */
  param: maybeText,
  code: maybeText,
}
/** An error. */
export const openAiFailure = v.object({ error: v.object(failureEntries) })
/** The last of a stream that fails later. */
const streamFailure = v.object({ error: v.object({ ...failureEntries, task_id: v.string() }) })

const head = { id: v.string(), created: integer, model: v.string() }
const maybeFinish = v.nullable(finishReason)
const choice = { index: integer, logprobs: v.null(), finish_reason: finishReason }
export const chatCompletion = v.object({
  ...head,
  object: v.literal('chat.completion'),
  choices: v.array(
    v.object({
      ...choice,
      message: v.object({
        role: v.literal('assistant'),
        content: maybeText,
        refusal: v.null(),
        reasoning_content: v.optional(v.string()),
        tool_calls: v.optional(v.array(jsonObject)),
      }),
    }),
  ),
  usage: completionUsage,
})
export const chatChunk = v.object({
  ...head,
  object: v.literal('chat.completion.chunk'),
  /** None where it is the usage. */
  choices: v.array(
    v.object({
      ...choice,
      finish_reason: maybeFinish,
      delta: v.object({
        role: v.optional(v.literal('assistant')),
        content: v.optional(v.string()),
        reasoning_content: v.optional(v.string()),
        tool_calls: v.optional(v.array(jsonObject)),
      }),
    }),
  ),
  usage: v.optional(completionUsage),
})
export const completion = v.object({
  ...head,
  object: v.literal('text_completion'),
  choices: v.array(v.object({ ...choice, text: v.string() })),
  usage: completionUsage,
})
export const completionChunk = v.object({
  ...head,
  object: v.literal('text_completion'),
  /** None where it is the usage. */
  choices: v.array(v.object({ ...choice, finish_reason: maybeFinish, text: v.string() })),
  usage: v.optional(completionUsage),
})

/** The events of an answer in pieces, with their data parsed. */
const eventsOf = <S extends v.GenericSchema>(chunk: S) =>
  v.object({ data: v.union([chunk, streamFailure, v.literal('[DONE]')]) })
export const chatEvent = eventsOf(chatChunk)
export const completionEvent = eventsOf(completionChunk)

export const embeddingList = v.object({
  object: v.literal('list'),
  data: v.array(
    v.object({
      object: v.literal('embedding'),
      index: integer,
      /** Numbers, or with `encoding_format` base64 32-bit floats. */
      embedding: v.union([v.array(v.number()), v.string()]),
    }),
  ),
  model: v.string(),
  usage: v.object(usage),
})
