import * as v from 'valibot'
import { featureNames, id, shortText } from './fields.js'

const TIMESTAMP = 'must be the time of the call, in whole seconds since 1970'

/** What proves a call, beside its own fields. Any shape of signature passes here: what is wrong with it is said by who verifies. */
export const proofEntries = {
  /** Unix time in seconds. */
  timestamp: v.pipe(v.number(TIMESTAMP), v.safeInteger(TIMESTAMP), v.minValue(0, TIMESTAMP)),
  signature: shortText(0, 1024),
}

/** `POST /api/v1/nodes/tasks`: a poll that is signed. */
export const signedPollBody = v.object(
  { node_id: id, ...proofEntries, features: v.optional(featureNames, []) },
  'must be a JSON object',
)
export type SignedPoll = Omit<v.InferOutput<typeof signedPollBody>, 'features'>

/** `POST /api/v1/tasks/status`: the owner of a task asks for it. */
export const signedQueryBody = v.object(
  { task_id: id, public_key: shortText(0, 1024), ...proofEntries },
  'must be a JSON object',
)
export type SignedQuery = v.InferOutput<typeof signedQueryBody>

/** Who made a signed call. What has been called with the same key and time before is a repeat. */
export interface Proof {
  /** Normalized. */
  key: string
  /** Unix time in seconds, as it was signed. */
  timestamp: number
}
