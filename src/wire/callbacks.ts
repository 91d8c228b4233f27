import * as v from 'valibot'
import { id, maybe, pageSize } from './fields.js'

/** The states of a callback, as rules/callbacks.ts has them. */
export const callbackState = v.picklist(
  ['waiting', 'pending', 'delivered', 'dead'],
  'must be one of waiting, pending, delivered, dead',
)

/** The query of `GET /api/v1/callbacks`. `cursor` is what the page before gave as `next_cursor`. */
export const callbacksQuery = v.object({
  state: maybe(callbackState),
  cursor: maybe(id),
  limit: v.optional(pageSize, '50'),
})

const integer = v.pipe(v.number(), v.integer())
const maybeInteger = v.nullable(integer)
const maybeText = v.nullable(v.string())

/** Where the end of a task is told, as its submitter sees it. `url` is null where it cannot be read. */
export const taskCallbackView = v.object({
  url: maybeText,
  state: callbackState,
  tries: integer,
  next_try_at: maybeInteger,
  last_error: maybeText,
})
export type TaskCallbackView = v.InferOutput<typeof taskCallbackView>

/** A callback among others. `url` is null for who may not read texts. */
export const callbackView = v.object({
  task_id: v.string(),
  state: callbackState,
  host: v.string(),
  url: maybeText,
  webhook_id: maybeText,
  ended_at: maybeInteger,
  tries: integer,
  next_try_at: maybeInteger,
  last_error: maybeText,
  updated_at: integer,
})
export type CallbackLineView = v.InferOutput<typeof callbackView>
export const callbacksPage = v.object({ callbacks: v.array(callbackView), next_cursor: maybeText })
