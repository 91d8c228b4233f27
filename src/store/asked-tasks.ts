import { and, eq, gte, isNotNull, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { inferenceTasks as tasks } from './schema.js'
import { literal } from './statement.js'
import type { Database } from './sqlite.js'

/** Finds tasks by the request that they were made of. */
export function createAskedTasks(db: Database) {
  const { task_id, join_key, created_at } = tasks
  const newest = literal(
    drizzle(db)
      .select({ task_id })
      .from(tasks)
      // The condition of the index, word for word.
      .where(and(isNotNull(join_key), eq(join_key, sql.placeholder('key')), gte(created_at, sql.placeholder('since'))))
      .orderBy(sql`rowid DESC`)
      .limit(1),
  ).prepare()
  return {
    /** The newest task of this request, made since then (Unix seconds). */
    newestOf: (key: string, since: number): string | undefined => newest.get({ key, since })?.task_id,
  }
}
