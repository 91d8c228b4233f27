import { eq, sql } from 'drizzle-orm'
import type { Lane } from '../rules/models.js'
import { inferenceTasks as tasks, type TaskRow } from './schema.js'
import { names, render, type Bound } from './statement.js'
import type { Database } from './sqlite.js'

const columns = [
  'task_id',
  'model_name',
  'model_type',
  'attempt',
  'retried_after',
  'queue_rank',
  'queued_ms',
  'infer_fee',
  'paid_nonce',
  'needs',
] as const

/** A task that waits, as much of it as a choice needs. */
export type ReadyTask = Pick<TaskRow, (typeof columns)[number]> & { seq: number }

/** A place in a lane: behind this task. */
export type Place = Pick<ReadyTask, 'queue_rank' | 'seq'>

/** How many ready tasks a scan of a lane fetches. */
export const SCAN_LIMITS = [1, 4, 8, 16, 32, 48, 64, 96, 128, 256] as const

/**
 * The tasks of a lane that are ready. On the way of every task, so these are statements of better-sqlite3, as tasks.ts
 * says. The limits are literals: a bound one costs a new query plan at every call.
 */
export function createReadyTasks(db: Database) {
  // Going on behind a place is two seeks in the index: what has the same rank, then what has a lower one.
  const scans = (lane: 'model_key' | 'model_type') => {
    const of = sql`SELECT rowid AS seq, ${names<TaskRow>(columns)} FROM ${tasks}
      WHERE ${eq(tasks.status, 'pending')} AND ${tasks[lane]} = ?`
    return SCAN_LIMITS.map((limit) => ({
      limit,
      top: db.prepare<Bound<TaskRow, [typeof lane]>, ReadyTask>(
        render(sql`${of} ORDER BY ${tasks.queue_rank} DESC, rowid LIMIT ${limit}`),
      ),
      equal: db.prepare<[...Bound<TaskRow, [typeof lane, 'queue_rank']>, seq: number], ReadyTask>(
        render(sql`${of} AND ${tasks.queue_rank} = ? AND rowid > ? ORDER BY rowid LIMIT ${limit}`),
      ),
      lower: db.prepare<Bound<TaskRow, [typeof lane, 'queue_rank']>, ReadyTask>(
        render(sql`${of} AND ${tasks.queue_rank} < ? ORDER BY ${tasks.queue_rank} DESC, rowid LIMIT ${limit}`),
      ),
    }))
  }
  const byModel = scans('model_key')
  const byFamily = scans('model_type')

  return {
    /** The next SCAN_LIMITS[scan] ready tasks of a lane behind a place, best first; fewer only at the lane's end. */
    ready(lane: Lane, behind: Place | null, scan: number): ReadyTask[] {
      const key = lane.slice(lane.indexOf(':') + 1)
      const statements = (lane.startsWith('name:') ? byModel : byFamily)[scan]
      if (statements === undefined) return []
      const { limit, top, equal, lower } = statements
      if (behind === null) return top.all(key)
      const alike = equal.all(key, behind.queue_rank, behind.seq)
      return alike.length === limit ? alike : [...alike, ...lower.all(key, behind.queue_rank)].slice(0, limit)
    },
  }
}
