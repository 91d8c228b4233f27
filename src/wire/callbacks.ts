import * as v from 'valibot'
import { id, maybe } from './fields.js'
import { pageSize } from './rest.js'

/** The states of a callback, as rules/callbacks.ts has them. */
const callbackState = v.picklist(
  ['waiting', 'pending', 'delivered', 'dead'],
  'must be one of waiting, pending, delivered, dead',
)

/** The query of `GET /api/v1/callbacks`. `cursor` is what the page before gave as `next_cursor`. */
export const callbacksQuery = v.object({
  state: maybe(callbackState),
  cursor: maybe(id),
  limit: v.optional(pageSize, '50'),
})
