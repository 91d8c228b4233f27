import type { TaskStatus } from '../../src/rules/lifecycle.js'
import type { Database } from '../../src/store/sqlite.js'

const none = { pending: 0, in_progress: 0, completed: 0, submitted: 0, failed: 0, timeout: 0 }

/** How many of these tasks are in each status. */
export function recountOf(tasks: readonly { status: TaskStatus }[]): Record<TaskStatus, number> {
  const counts = { ...none }
  for (const { status } of tasks) counts[status]++
  return counts
}

/** The same as the file keeps it. */
export const storedCounts = (db: Database): Record<string, number> => ({
  ...none,
  ...Object.fromEntries(
    db
      .prepare<[], { status: string; tasks: number }>('SELECT status, tasks FROM task_counts')
      .all()
      .map((c) => [c.status, c.tasks]),
  ),
})
