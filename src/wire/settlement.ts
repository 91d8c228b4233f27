import * as v from 'valibot'
import { id, maybe, pageSize } from './fields.js'

/** The states of a settlement, as rules/settlement.ts has them. */
export const settlementState = v.picklist(
  ['ready', 'posted', 'mined', 'confirmed', 'lost', 'mined_unverified', 'hijacked', 'rejected', 'replaced', 'aborted'],
  'must be one of ready, posted, mined, confirmed, lost, mined_unverified, hijacked, rejected, replaced, aborted',
)

/** The query of `GET /api/v1/settlements`. `cursor` is what the page before gave as `next_cursor`. */
export const settlementsQuery = v.object({
  state: maybe(settlementState),
  cursor: maybe(id),
  limit: v.optional(pageSize, '50'),
})

/** The id of a transaction: 64 hex digits, in lower case; null when the text is none. `0x` before it is left out. */
export function readTxid(text: string): string | null {
  return /^(?:0x)?([0-9a-f]{64})$/i.exec(text)?.[1]?.toLowerCase() ?? null
}
