import { and, eq, gt, lt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { createRecentlyUsed } from '../lib/recently-used.js'
import { inferenceTasks as tasks } from './schema.js'
import { literal } from './statement.js'
import type { Database } from './sqlite.js'

/**
 * The first task of an owner begins a run: of the rows behind it, up to this many with itself, those of the same owner are `in_run` and
 * not in the index of tasks by owner. Who submits many at once costs one entry for so many; a list of one who submits seldom looks at
 * so many rows for each of his tasks.
 */
export const RUN_ROWS = 16
/** Of so many owners it is known where their last runs began; of another the next task begins one. */
const MAX_OWNERS = 10_000

export type OwnerRuns = ReturnType<typeof createOwnerRuns>
/** A row that is deleted, as far as it may begin a run. */
export interface DeletedRow {
  seq: number
  owner_key: string | null
  in_run: number | null
}

/** Which tasks begin a run. A run may begin anywhere, and overlap another: so nothing has to be known of what was before. */
export function createOwnerRuns(db: Database) {
  /** How many rows were inserted by now: they lie no further from each other than that. */
  let inserted = 0
  let begun = known()
  const orm = drizzle(db)
  const { placeholder } = sql
  const seq = sql`rowid`
  const nextInRun = literal(
    orm
      .select({ task_id: tasks.task_id })
      .from(tasks)
      .where(
        and(
          gt(seq, placeholder('seq')),
          lt(seq, sql`${placeholder('seq')} + ${RUN_ROWS}`),
          eq(tasks.owner_key, placeholder('owner_key')),
          eq(tasks.in_run, 1),
        ),
      )
      .orderBy(seq)
      .limit(1),
  ).prepare()
  const begin = literal(
    orm
      .update(tasks)
      .set({ in_run: null })
      .where(eq(tasks.task_id, placeholder('task_id'))),
  ).prepare()

  return {
    /** What `in_run` of the next row that is inserted has to be. To be called for every row. */
    next(owner_key: string | null): 1 | null {
      inserted++
      if (owner_key === null || owner_key === '') return null
      const run = begun.of(owner_key)
      if (inserted - run.at < RUN_ROWS) return 1
      run.at = inserted
      return null
    },
    /** What was inserted is not there: the next task of each owner begins a run. */
    forget(): void {
      begun = known()
    },
    /** The next row of a run takes the place of the one that was deleted. To be called when all that are deleted together are. */
    deleted(rows: readonly DeletedRow[]): void {
      for (const row of rows) {
        if (row.owner_key === null || row.owner_key === '' || row.in_run !== null) continue
        const next = nextInRun.get({ seq: row.seq, owner_key: row.owner_key })
        const newest = begun.peek(row.owner_key)
        if (next !== undefined) begin.run(next)
        else if (newest !== undefined) newest.at = NONE // it may have been this one
      }
    },
  }
}

/** No run has begun yet. */
const NONE = -Infinity
const known = () => createRecentlyUsed(MAX_OWNERS, () => ({ at: NONE }))
