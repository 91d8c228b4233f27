import * as v from 'valibot'
import { id, maybe, pageSize, shortText } from './fields.js'

/** `POST /api/v1/delegations`: what is wrong with keys and signature is said by who verifies. */
export const delegationBody = v.object(
  {
    /** The key of the node, and the address that what it does is paid to. */
    node_key: shortText(1, 256),
    address: shortText(1, 128),
    /** The key of the address, and its signature of `delegationText`. */
    public_key: shortText(1, 256),
    signature: shortText(1, 256),
  },
  'must be a JSON object',
)
/** A delegation that was verified: keys in lower-case hex, the node's compressed, the signature compact with a low s. */
export type Delegation = v.InferOutput<typeof delegationBody>

/** The query of `GET /api/v1/delegations`. `cursor` is what the page before gave as `next_cursor`. */
export const delegationsQuery = v.object({ cursor: maybe(id), limit: v.optional(pageSize, '50') })
