import { desc, eq, lt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { endedAttempts as ended, openAttempts as open } from './attempt-schema.js'
import { inferenceTasks as tasks } from './schema.js'
import { literal } from './statement.js'
import type { Database } from './sqlite.js'

/** How many are read at once. */
const MAX_PAST = 50

const ofAttempt = (a: typeof ended | typeof open) => ({
  task_id: a.task_id,
  attempt: a.attempt,
  node_id: a.node_id,
  assigned_ms: a.assigned_ms,
  accepted_ms: a.accepted_ms,
  assigned_at: a.assigned_at,
})
const ofTask = {
  model_name: tasks.model_name,
  model_key: tasks.model_key,
  model_type: tasks.model_type,
  infer_fee: tasks.infer_fee,
  status: tasks.status,
  newest: tasks.attempt,
  retried_after: tasks.retried_after,
  queued_ms: tasks.queued_ms,
  created_at: tasks.created_at,
}

/** Reads what was done before the start, the newest first: for figures that a restart has lost. */
export function createPastAttempts(db: Database) {
  const orm = drizzle(db)
  const seq = sql<number>`${ended}.rowid`
  const before = literal(
    orm
      .select({
        seq,
        ...ofAttempt(ended),
        first_word_ms: ended.first_word_ms,
        ended_ms: ended.ended_ms,
        ended_at: ended.ended_at,
        end: ended.end,
        fault: ended.fault,
        prompt_tokens: ended.prompt_tokens,
        completion_tokens: ended.completion_tokens,
        ...ofTask,
      })
      .from(ended)
      .innerJoin(tasks, eq(tasks.task_id, ended.task_id))
      .where(lt(seq, sql.placeholder('before')))
      .orderBy(desc(seq))
      .limit(MAX_PAST),
  ).prepare()
  const last = orm
    .select({ seq: sql<number | null>`max(rowid)` })
    .from(ended)
    .prepare()
  const running = orm
    .select({ ...ofAttempt(open), ...ofTask })
    .from(open)
    .innerJoin(tasks, eq(tasks.task_id, open.task_id))
    .prepare()
  return {
    /** The `seq` of the attempt that ended last; 0 without any. */
    lastAttempt: (): number => last.get()?.seq ?? 0,
    /** Up to 50 attempts that ended before the one with this `seq`, the newest first. */
    pastAttempts: (seq: number) => before.all({ before: seq }),
    /** Those that are open. */
    runningAttempts: () =>
      running.all().map((row) => ({
        ...row,
        first_word_ms: null,
        ended_ms: null,
        ended_at: null,
        end: null,
        fault: null,
        prompt_tokens: null,
        completion_tokens: null,
      })),
  }
}
/** An attempt with its task. */
export type PastRow = ReturnType<ReturnType<typeof createPastAttempts>['pastAttempts']>[number]
