import { createPages } from './pages.js'
import type { ReopeningRow, TaskRow } from './schema.js'
import type { Database } from './sqlite.js'

/** Positions in the queue are counted up to this. */
export const POSITION_LIMIT = 1000

export type History = ReturnType<typeof createHistory>

/** What is read of the past and of the queue; nothing here is on the way of a task. */
export function createHistory(db: Database) {
  const aheadByRank = (column: 'model_key' | 'model_type') => ({
    higher: db.prepare<[string, number], { n: number }>(
      `SELECT count(*) AS n FROM (SELECT 1 FROM inference_tasks WHERE status = 'pending' AND ${column} = ? AND queue_rank > ? LIMIT ${POSITION_LIMIT})`,
    ),
    older: db.prepare<[string, number, number], { n: number }>(
      `SELECT count(*) AS n FROM (SELECT 1 FROM inference_tasks WHERE status = 'pending' AND ${column} = ? AND queue_rank = ? AND rowid < ? LIMIT ${POSITION_LIMIT})`,
    ),
  })
  const ahead = { model_key: aheadByRank('model_key'), model_type: aheadByRank('model_type') }
  const seqOf = db.prepare<[string], { seq: number }>('SELECT rowid AS seq FROM inference_tasks WHERE task_id = ?')
  const addReopening = db.prepare<ReopeningRow>(
    'INSERT INTO reopenings (task_id, attempt, status, error, ended_at, reopened_at) VALUES (@task_id, @attempt, @status, @error, @ended_at, @reopened_at)',
  )
  const reopenings = db.prepare<[string], ReopeningRow>(
    'SELECT task_id, attempt, status, error, ended_at, reopened_at FROM reopenings WHERE task_id = ? ORDER BY rowid',
  )
  const removeReopenings = db.prepare('DELETE FROM reopenings WHERE task_id = ?')

  return {
    ...createPages(db),
    /** How many tasks wait before this one for the same nodes, at most POSITION_LIMIT. */
    ahead(task: TaskRow, known: boolean): number {
      const { higher, older } = known ? ahead.model_type : ahead.model_key
      const key = known ? task.model_type : task.model_key
      const n =
        (higher.get(key, task.queue_rank)?.n ?? 0) +
        (older.get(key, task.queue_rank, seqOf.get(task.task_id)?.seq ?? 0)?.n ?? 0)
      return Math.min(n, POSITION_LIMIT)
    },
    addReopening: (row: ReopeningRow) => addReopening.run(row),
    reopenings: (taskId: string) => reopenings.all(taskId),
    removeReopenings: (taskId: string) => removeReopenings.run(taskId),
  }
}
