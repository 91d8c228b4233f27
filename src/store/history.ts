import type Database from 'better-sqlite3'
import type { TaskStatus } from '../tasks/lifecycle.js'
import type { ReopeningRow, TaskRow } from './schema.js'

/** A list is looked up in at most this many rows a page, however many are stored. */
export const ROWS_A_PAGE = 10_000
/** Positions in the queue are counted up to this. */
export const POSITION_LIMIT = 1000

/** A line of the list of tasks: everything but the texts. */
export type TaskLine = Pick<TaskRow, 'task_id' | 'status' | 'user_address' | 'model_name' | 'model_type' | 'infer_fee' | 'max_infer_time' | 'attempt' | 'inference_node_id' | 'created_at' | 'updated_at' | 'completed_at' | 'error'>

export interface TaskFilter {
  status: TaskStatus | null
  /** In the form names are compared in; a family too. */
  model: string | null
  user: string | null
  /** A node that was given the task. */
  node: string | null
}

export type History = ReturnType<typeof createHistory>

/** What is read of the past and of the queue; nothing here is on the way of a task. */
export function createHistory(db: Database.Database) {
  const page = db.prepare<TaskFilter & { before: number; limit: number }, TaskLine & { seq: number }>(`
    SELECT seq, task_id, status, user_address, model_name, model_type, infer_fee, max_infer_time, attempt, inference_node_id, created_at, updated_at, completed_at, error
    FROM (SELECT rowid AS seq, task_id, status, user_address, model_name, model_key, model_type, infer_fee, max_infer_time, attempt, inference_node_id,
        created_at, updated_at, completed_at, error FROM inference_tasks WHERE rowid < @before ORDER BY rowid DESC LIMIT ${ROWS_A_PAGE}) AS t
    WHERE (@status IS NULL OR status = @status) AND (@model IS NULL OR model_key = @model OR model_type = @model) AND (@user IS NULL OR user_address = @user)
      AND (@node IS NULL OR EXISTS (SELECT 1 FROM attempts AS a WHERE a.task_id = t.task_id AND a.node_id = @node))
    LIMIT @limit`)
  const lastLooked = db.prepare<[number], { seq: number }>(`SELECT rowid AS seq FROM inference_tasks WHERE rowid < ? ORDER BY rowid DESC LIMIT 1 OFFSET ${ROWS_A_PAGE - 1}`)
  const isOlder = db.prepare<[number], { seq: number }>('SELECT rowid AS seq FROM inference_tasks WHERE rowid < ? LIMIT 1')
  const aheadByRank = (column: 'model_key' | 'model_type') => ({
    higher: db.prepare<[string, number], { n: number }>(`SELECT count(*) AS n FROM (SELECT 1 FROM inference_tasks WHERE status = 'pending' AND ${column} = ? AND queue_rank > ? LIMIT ${POSITION_LIMIT})`),
    older: db.prepare<[string, number, number], { n: number }>(`SELECT count(*) AS n FROM (SELECT 1 FROM inference_tasks WHERE status = 'pending' AND ${column} = ? AND queue_rank = ? AND rowid < ? LIMIT ${POSITION_LIMIT})`),
  })
  const ahead = { model_key: aheadByRank('model_key'), model_type: aheadByRank('model_type') }
  const seqOf = db.prepare<[string], { seq: number }>('SELECT rowid AS seq FROM inference_tasks WHERE task_id = ?')
  const addReopening = db.prepare<ReopeningRow>('INSERT INTO reopenings (task_id, attempt, status, error, ended_at, reopened_at) VALUES (@task_id, @attempt, @status, @error, @ended_at, @reopened_at)')
  const reopenings = db.prepare<[string], ReopeningRow>('SELECT task_id, attempt, status, error, ended_at, reopened_at FROM reopenings WHERE task_id = ? ORDER BY rowid')
  const removeReopenings = db.prepare('DELETE FROM reopenings WHERE task_id = ?')

  return {
    /**
     * Tasks older than `before`, newest first: at most `limit`, from among the next ROWS_A_PAGE. `next` is where the next page
     * begins; null when there is nothing older.
     */
    page(filter: TaskFilter, before: number | null, limit: number): { tasks: TaskLine[]; next: number | null } {
      const from = before ?? Number.MAX_SAFE_INTEGER
      const found = page.all({ ...filter, before: from, limit })
      const last = found.length === limit ? found.at(-1) : lastLooked.get(from)
      const next = last === undefined || isOlder.get(last.seq) === undefined ? null : last.seq
      return { tasks: found.map(({ seq: _, ...line }) => line), next }
    },
    /** How many tasks wait before this one for the same nodes, at most POSITION_LIMIT. */
    ahead(task: TaskRow, known: boolean): number {
      const { higher, older } = known ? ahead.model_type : ahead.model_key
      const key = known ? task.model_type : task.model_key
      const n = (higher.get(key, task.queue_rank)?.n ?? 0) + (older.get(key, task.queue_rank, seqOf.get(task.task_id)?.seq ?? 0)?.n ?? 0)
      return Math.min(n, POSITION_LIMIT)
    },
    addReopening: (row: ReopeningRow) => addReopening.run(row),
    reopenings: (taskId: string) => reopenings.all(taskId),
    removeReopenings: (taskId: string) => removeReopenings.run(taskId),
  }
}
