import { createAuditTable } from './audit.js'
import { createEnrolment } from './enrolment.js'
import { createNodeKeyTable } from './node-keys.js'
import { createQuotaTable } from './quotas.js'
import { createTokenChanges } from './token-changes.js'
import { createTokenTable } from './tokens.js'
import type { Database } from './sqlite.js'

export type Access = ReturnType<typeof createAccess>

/**
 * Who may do what, as the file has it: the tables, and the changes of them. Each change belongs into a transaction of its
 * caller, and adds its row to the audit there; what it refuses has changed nothing.
 */
export function createAccess(db: Database) {
  const tokens = createTokenTable(db)
  const nodeKeys = createNodeKeyTable(db)
  const audit = createAuditTable(db)
  return {
    tokens,
    nodeKeys,
    audit,
    quotas: createQuotaTable(db),
    ...createTokenChanges({ tokens, audit }),
    ...createEnrolment({ tokens, nodeKeys, audit }),
  }
}
