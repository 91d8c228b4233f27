import { asc, desc, lt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { clockOffsets } from './schema.js'
import { excluded, literal, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

/** So many are kept; what is older is known by its second only. */
const MAX_KEPT = 1000

export type ClockOffset = typeof clockOffsets.$inferSelect

/** How the service clock and the wall clock have stood to one another. */
export function createClockOffsets(db: Database) {
  const orm = drizzle(db)
  const all = orm.select().from(clockOffsets).orderBy(asc(clockOffsets.from_ms)).prepare()
  const add = orm
    .insert(clockOffsets)
    .values(rowOf(clockOffsets))
    .onConflictDoUpdate({ target: clockOffsets.from_ms, set: excluded(clockOffsets, 'from_ms') })
    .prepare()
  const oldest = literal(
    orm
      .select({ from_ms: clockOffsets.from_ms })
      .from(clockOffsets)
      .orderBy(desc(clockOffsets.from_ms))
      .limit(1)
      .offset(MAX_KEPT - 1),
  ).prepare()
  const prune = orm
    .delete(clockOffsets)
    .where(lt(clockOffsets.from_ms, sql.placeholder('before')))
    .prepare()
  return {
    /** The oldest first. */
    all: (): ClockOffset[] => all.all(),
    add(row: ClockOffset): void {
      add.run(row)
      const first = oldest.get()
      if (first !== undefined) prune.run({ before: first.from_ms })
    },
  }
}
