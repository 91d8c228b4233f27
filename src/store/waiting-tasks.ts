import { and, count, desc, eq, gt, lt, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { inferenceTasks as tasks, STARVED } from './schema.js'
import { literal } from './statement.js'
import type { Database } from './sqlite.js'

/** How many tasks a tick deals with at once. */
const MAX_DUE = 200
/** Of how many it is read at once since when they wait. */
const MAX_AGES = 100

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

  // From its index alone: what comes before these columns in a row may be megabytes of text.
  const perModel = literal(
    orm.select({ model_key: tasks.model_key, n: count() }).from(tasks).where(pending).groupBy(tasks.model_key),
  ).prepare()
  const agesAfter = literal(
    orm
      .select({ queued_ms, model_key: tasks.model_key })
      .from(tasks)
      .where(and(pending, gt(queued_ms, placeholder('after')), lt(queued_ms, placeholder('before'))))
      .orderBy(queued_ms)
      .limit(MAX_AGES),
  ).prepare()
  const agesAt = literal(
    orm
      .select({ queued_ms, model_key: tasks.model_key })
      .from(tasks)
      .where(and(pending, eq(queued_ms, placeholder('at')))),
  ).prepare()
  return {
    /** How many wait of each model. */
    pendingPerModel: () => perModel.all(),
    /**
     * Since when tasks wait, of what began to after `after` and before `before`, the oldest first: up to 100, and all others of the
     * last one's moment. Empty: there are no more. @returns with them, through when that is
     */
    agesAfter(after: number, before: number): { tasks: { key: string; queued_ms: number }[]; through: number } {
      const rows = agesAfter.all({ after, before })
      const last = rows.at(-1)
      if (last === undefined || rows.length < MAX_AGES) return { tasks: rows.map(aged), through: before - 1 }
      const at = last.queued_ms
      return { tasks: [...rows.filter((r) => r.queued_ms < at), ...agesAt.all({ at })].map(aged), through: at }
    },
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

const aged = ({ queued_ms, model_key }: { queued_ms: number; model_key: string }) => ({ key: model_key, queued_ms })
