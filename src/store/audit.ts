import { and, asc, desc, eq, gt, gte, lt, sql, type SQL } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import * as v from 'valibot'
import { auditHash, createAuditCheck, EMPTY_AUDIT, type AuditFault, type AuditHead } from '../wire/audit-chain.js'
import type { AuditView } from '../wire/access.js'
import { audit, type AuditRow } from './access-schema.js'
import type { AuditBy, AuditEntry } from './audit-entries.js'
import { literal, render, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

/** What is wanted of the audit; null: anything. */
export interface AuditFilter {
  actor: string | null
  action: string | null
  subject: string | null
}

export interface AuditPage {
  rows: AuditRow[]
  /** Where the next page begins; null after the last. */
  next: number | null
}

/** Row by row, as far as the audit fits. */
export interface AuditVerdict {
  /** The last row that fits. */
  head: AuditHead
  /** The first that does not; null where all fit. */
  fault: AuditFault | null
}

export type AuditTable = ReturnType<typeof createAuditTable>

const detailText = v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.unknown()))

/** A row as it is shown; a detail that was changed by hand too. */
export function viewAuditRow({ detail, ...row }: AuditRow): AuditView {
  const read = v.safeParse(detailText, detail)
  return { ...row, detail: read.success ? read.output : { unreadable: detail } }
}

/** A page is looked for in at most this many rows. */
const ROWS_A_PAGE = 10_000

/** The rows of `audit`: they are added, and never changed. */
export function createAuditTable(db: Database) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const insert = orm.insert(audit).values(rowOf(audit)).prepare()
  const last = literal(
    orm.select({ seq: audit.seq, hash: audit.hash }).from(audit).orderBy(desc(audit.seq)).limit(1),
  ).prepare()
  const matches = (column: 'actor' | 'action' | 'subject'): SQL =>
    sql`(${placeholder(column)} is null or ${eq(audit[column], placeholder(column))})`
  const wanted = and(matches('actor'), matches('action'), matches('subject'))
  const found = orm
    .select()
    .from(audit)
    .where(and(lt(audit.seq, placeholder('before')), gte(audit.seq, placeholder('low')), wanted))
    .orderBy(desc(audit.seq))
    .limit(placeholder('limit'))
    .prepare()
  const following = orm
    .select()
    .from(audit)
    .where(gt(audit.seq, placeholder('after')))
    .orderBy(asc(audit.seq))
    .limit(placeholder('limit'))
    .prepare()
  const walk = db.prepare<[], AuditRow>(render(sql`SELECT * FROM ${audit} ORDER BY ${audit.seq}`))
  const lastGiven = db.prepare<[], { seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")

  const head = (): AuditHead => last.get() ?? EMPTY_AUDIT
  return {
    /** The newest row; `seq` 0 before the first. */
    head,

    /**
     * Adds a row, in the transaction of what it tells of. The end of the chain is read from the file: commands add to it too.
     * @throws when no transaction is open
     */
    append({ action, subject, detail }: AuditEntry, by: AuditBy, outcome: AuditRow['outcome'] = 'done') {
      if (!db.inTransaction) throw new Error('a row of the audit belongs into the transaction of what it tells of')
      const before = head()
      const row = {
        seq: before.seq + 1,
        ...by,
        action,
        subject,
        detail: JSON.stringify(detail),
        outcome,
        prev_hash: before.hash,
      }
      insert.run({ ...row, hash: auditHash(row) })
    },

    /** Rows before `before`, newest first: at most `limit`, from among the next ROWS_A_PAGE; so it may be short, and not be the last. */
    page(filter: AuditFilter, before: number | null, limit: number): AuditPage {
      const from = Math.min(before ?? Number.MAX_SAFE_INTEGER, head().seq + 1)
      const low = Math.max(1, from - ROWS_A_PAGE)
      const rows = found.all({ ...filter, before: from, low, limit })
      const reached = rows.length === limit ? (rows.at(-1)?.seq ?? low) : low
      return { rows, next: reached > 1 ? reached : null }
    },

    /** Rows after `after`, oldest first, at most `limit`. */
    after: (after: number, limit: number): AuditRow[] => following.all({ after, limit }),

    /** Looks at every row, at one moment. @param known a row as it was noted elsewhere before */
    verify(known: AuditHead | null = null): AuditVerdict {
      const check = createAuditCheck(known)
      return db.transaction((): AuditVerdict => {
        const verdict = (fault: AuditFault | null): AuditVerdict => ({ head: check.head(), fault })
        for (const row of walk.iterate()) {
          const fault = check.next(row)
          if (fault !== null) return verdict(fault)
        }
        return verdict(check.end(lastGiven.get()?.seq ?? 0))
      })()
    },
  }
}
