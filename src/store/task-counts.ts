import { drizzle } from 'drizzle-orm/better-sqlite3'
import type { UndoLog } from '../lib/undo-log.js'
import { taskStatuses, type TaskStatus } from '../rules/lifecycle.js'
import { taskCounts } from './schema.js'
import { excluded, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

export type TaskCounts = Record<TaskStatus, number>

/**
 * How many tasks are in each status: kept in memory, and in the file by the transactions that change them.
 * @param undo puts the counters back when a transaction is undone
 */
export function createTaskCounts(db: Database, undo: Pick<UndoLog, 'keep'>) {
  const orm = drizzle(db)
  const load = orm.select().from(taskCounts).prepare()
  const save = orm
    .insert(taskCounts)
    .values(rowOf(taskCounts))
    .onConflictDoUpdate({ target: taskCounts.status, set: excluded(taskCounts, 'status') })
    .prepare()

  const counts = Object.fromEntries(taskStatuses.map((s) => [s, 0])) as TaskCounts
  const changed = new Set<TaskStatus>()
  return {
    counts: counts as Readonly<TaskCounts>,
    count(status: TaskStatus, by: 1 | -1) {
      undo.keep(counts)
      counts[status] += by
      changed.add(status)
    },
    /** Reads the counters from the file, at start. */
    load() {
      for (const s of taskStatuses) counts[s] = 0
      for (const { status, tasks } of load.all()) counts[status] = tasks
      changed.clear()
    },
    /** Writes the counters that changed; belongs at the end of every transaction that moves tasks. */
    save() {
      for (const status of changed) save.run({ status, tasks: counts[status] })
      changed.clear()
    },
  }
}
