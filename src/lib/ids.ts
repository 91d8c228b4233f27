import { randomFillSync } from 'node:crypto'
import { v7 } from 'uuid'

/** How many ids the random bytes are fetched for at once: a call into the system costs more than the rest of an id. */
const IDS_A_FETCH = 256
const BYTES = 16

/** Makes UUIDs of version 7, which sort by the time they were made at: their index grows at its end. */
export function createIds(): () => string {
  const pool = new Uint8Array(IDS_A_FETCH * BYTES)
  let used = pool.length
  return () => {
    if (used === pool.length) {
      randomFillSync(pool)
      used = 0
    }
    used += BYTES
    return v7({ random: pool.subarray(used - BYTES, used) })
  }
}
