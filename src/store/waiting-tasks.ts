import { and, count, desc, eq, gt, lt, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { inferenceTasks as tasks, STARVED } from './schema.js'
import { literal } from './statement.js'
import type { Database } from './sqlite.js'

/** How many tasks a tick deals with at once. */
const MAX_DUE = 200

/** The tasks that wait, by their age: what a tick and the start look at. */
export function createWaitingTasks(db: Database) {
  const orm = drizzle(db)
  const { task_id, user_address, status, queued_ms, queue_rank } = tasks
  const pending = eq(status, 'pending')
  const { placeholder } = sql

  const oldest = literal(
    orm
      .select({ queued_ms })
      .from(tasks)
      .where(and(pending, gt(queued_ms, placeholder('after'))))
      .orderBy(queued_ms)
      .limit(1),
  ).prepare()
  const newest = literal(
    orm.select({ queued_ms }).from(tasks).where(pending).orderBy(desc(queued_ms)).limit(1),
  ).prepare()
  const waited = literal(
    orm
      .select({ task_id })
      .from(tasks)
      .where(and(pending, lte(queued_ms, placeholder('time'))))
      .orderBy(queued_ms)
      .limit(MAX_DUE),
  ).prepare()
  const unstarved = literal(
    orm
      .select({ task_id, queued_ms })
      .from(tasks)
      .where(
        and(pending, gt(queued_ms, placeholder('from')), lte(queued_ms, placeholder('to')), lt(queue_rank, STARVED)),
      )
      .orderBy(queued_ms)
      .limit(MAX_DUE),
  ).prepare()
  const starve = literal(
    orm
      .update(tasks)
      .set({ queue_rank: STARVED })
      .where(and(eq(task_id, placeholder('task_id')), pending)),
  ).prepare()
  const perUser = literal(
    orm.select({ user_address, n: count() }).from(tasks).where(pending).groupBy(user_address),
  ).prepare()

  return {
    /** The time since which the oldest of the tasks waits that began to wait after `after`; null when there is none. */
    oldestAfter: (after: number): number | null => oldest.get({ after })?.queued_ms ?? null,
    /** The time since which the newest of the tasks waits; null when there is none. */
    newestSince: (): number | null => newest.get()?.queued_ms ?? null,
    /** Up to 200 tasks that have waited since `time` or longer. */
    waitingSince: (time: number) => waited.all({ time }),
    /** Up to 200 tasks that began to wait after `from`, at `to` or before, and do not go first yet. */
    unstarvedBetween: (from: number, to: number) => unstarved.all({ from, to }),
    starve: (task_id: string) => starve.run({ task_id }),
    pendingPerUser: () => perUser.all(),
  }
}
