import { drizzle } from 'drizzle-orm/better-sqlite3'
import type { UndoLog } from '../lib/undo-log.js'
import { taskStatuses, type TaskStatus } from '../rules/lifecycle.js'
import { createCounters } from './counters.js'
import { taskCounts } from './schema.js'
import { excluded, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

export type TaskCounts = Record<TaskStatus, number>

/** How many tasks are in each status. */
export function createTaskCounts(db: Database, undo: Pick<UndoLog, 'keep'>) {
  const orm = drizzle(db)
  const load = orm.select({ name: taskCounts.status, n: taskCounts.tasks }).from(taskCounts).prepare()
  const save = orm
    .insert(taskCounts)
    .values(rowOf(taskCounts))
    .onConflictDoUpdate({ target: taskCounts.status, set: excluded(taskCounts, 'status') })
    .prepare()
  return createCounters(
    taskStatuses,
    { load: () => load.all(), save: (status, tasks) => void save.run({ status, tasks }) },
    undo,
  )
}
