import { createHash } from 'node:crypto'

/** A row of the audit, as it is hashed. */
export interface AuditLink {
  seq: number
  /** Unix ms. */
  at_ms: number
  actor: string
  address: string | null
  action: string
  subject: string | null
  /** A JSON object, as text. */
  detail: string
  request_id: string | null
  outcome: string
  /** The hash of the row before it. */
  prev_hash: string
  hash: string
}

/** A place in the audit: the number of a row, and its hash. */
export interface AuditHead {
  seq: number
  hash: string
}

/** Before the first row. */
export const EMPTY_AUDIT: AuditHead = { seq: 0, hash: '0'.repeat(64) }

/** SHA-256, hex, over the row and the hash of the one before it: an array in JSON, so that no two rows read alike. */
export function auditHash(row: Omit<AuditLink, 'hash'>): string {
  const { prev_hash, seq, at_ms, actor, address, action, subject, detail, request_id, outcome } = row
  const text = JSON.stringify([prev_hash, seq, at_ms, actor, address, action, subject, detail, request_id, outcome])
  return createHash('sha256').update(text).digest('hex')
}

export interface AuditFault {
  /** The first row that does not fit. */
  seq: number
  /** What is wrong, as a sentence. */
  what: string
}

/**
 * Walks the audit from its first row on.
 * @param noted a row as it was noted elsewhere before: who can write the file can make a whole new chain, but not with that row
 */
export function createAuditCheck(noted: AuditHead | null = null) {
  let head = EMPTY_AUDIT
  return {
    /** The last row that fits. */
    head: (): AuditHead => head,
    /** The next row; null when it fits. After a fault nothing more can be said. */
    next(row: AuditLink): AuditFault | null {
      const due = head.seq + 1
      const fault = (what: string): AuditFault => ({ seq: due, what })
      if (row.seq !== due) return fault(missing(due, row.seq - 1))
      if (row.hash !== auditHash(row)) return fault(`row ${due} was changed, or is in the place of another`)
      if (row.prev_hash !== head.hash)
        return fault(
          due === 1
            ? 'row 1 is not the first that was written'
            : `row ${due} was not written after row ${head.seq} as it is now: one of them was replaced`,
        )
      if (noted?.seq === due && noted.hash !== row.hash)
        return fault(`row ${due} is not the one that was noted: the audit up to it was written anew`)
      head = { seq: row.seq, hash: row.hash }
      return null
    },
    /** After the last row. @param given the highest number that was ever given to a row; 0 where that is not known */
    end(given: number): AuditFault | null {
      const last = Math.max(given, noted?.seq ?? 0)
      return last > head.seq ? { seq: head.seq + 1, what: missing(head.seq + 1, last) } : null
    },
  }
}

const missing = (from: number, to: number): string =>
  from >= to ? `row ${from} is missing` : `rows ${from} to ${to} are missing`
