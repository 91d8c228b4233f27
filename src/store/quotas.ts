import { and, eq, lt, sql, type Column, type SQL } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { quotaDays, type QuotaRow } from './access-schema.js'
import { literal, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

/** What an owner has submitted in a day. */
export type Usage = Pick<QuotaRow, 'tasks' | 'fee' | 'bytes'>

export type QuotaTable = ReturnType<typeof createQuotaTable>

/** How many old rows are deleted at once. */
const MAX_PRUNED = 500

/** The rows of `quota_days`. A day is counted from 1970-01-01, UTC. */
export function createQuotaTable(db: Database) {
  const orm = drizzle(db)
  const { placeholder } = sql
  // A sum of fees may pass what a number holds exactly; from there on it stays.
  const more = (column: Column): SQL =>
    sql`min(${column} + excluded.${sql.identifier(column.name)}, ${sql.raw(String(Number.MAX_SAFE_INTEGER))})`
  const add = orm
    .insert(quotaDays)
    .values(rowOf(quotaDays))
    .onConflictDoUpdate({
      target: [quotaDays.day, quotaDays.owner],
      set: { tasks: more(quotaDays.tasks), fee: more(quotaDays.fee), bytes: more(quotaDays.bytes) },
    })
    .prepare()
  const get = orm
    .select({ tasks: quotaDays.tasks, fee: quotaDays.fee, bytes: quotaDays.bytes })
    .from(quotaDays)
    .where(and(eq(quotaDays.day, placeholder('day')), eq(quotaDays.owner, placeholder('owner'))))
    .prepare()
  const old = orm
    .select({ seq: sql<number>`rowid` })
    .from(quotaDays)
    .where(lt(quotaDays.day, placeholder('before')))
    .limit(MAX_PRUNED)
  const prune = literal(orm.delete(quotaDays).where(sql`rowid in ${old}`)).prepare()

  return {
    /** Adds to what an owner has submitted. */
    add: (row: QuotaRow) => add.run(row),
    /** What an owner has submitted in a day. */
    get: (owner: string, day: number): Usage => get.get({ owner, day }) ?? { tasks: 0, fee: 0, bytes: 0 },
    /** Deletes some of the rows of days before this one. @returns how many; 0 when there are none left */
    prune: (before: number): number => prune.run({ before }).changes,
  }
}
