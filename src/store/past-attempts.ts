import { desc, eq, lt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { attempts, inferenceTasks as tasks } from './schema.js'
import { literal } from './statement.js'
import type { Database } from './sqlite.js'

/** How many are read at once. */
const MAX_PAST = 50

/** Reads what was done before the start, the newest first: for figures that a restart has lost. */
export function createPastAttempts(db: Database) {
  const seq = sql<number>`${attempts}.rowid`
  const before = literal(
    drizzle(db)
      .select({
        seq,
        task_id: attempts.task_id,
        attempt: attempts.attempt,
        node_id: attempts.node_id,
        assigned_ms: attempts.assigned_ms,
        accepted_ms: attempts.accepted_ms,
        first_word_ms: attempts.first_word_ms,
        ended_ms: attempts.ended_ms,
        assigned_at: attempts.assigned_at,
        ended_at: attempts.ended_at,
        end: attempts.end,
        fault: attempts.fault,
        prompt_tokens: attempts.prompt_tokens,
        completion_tokens: attempts.completion_tokens,
        model_name: tasks.model_name,
        model_key: tasks.model_key,
        model_type: tasks.model_type,
        infer_fee: tasks.infer_fee,
        status: tasks.status,
        newest: tasks.attempt,
        retried_after: tasks.retried_after,
        queued_ms: tasks.queued_ms,
        created_at: tasks.created_at,
      })
      .from(attempts)
      .innerJoin(tasks, eq(tasks.task_id, attempts.task_id))
      .where(lt(seq, sql.placeholder('before')))
      .orderBy(desc(seq))
      .limit(MAX_PAST),
  ).prepare()
  const last = drizzle(db)
    .select({ seq: sql<number | null>`max(rowid)` })
    .from(attempts)
    .prepare()
  return {
    /** The `seq` of the newest attempt; 0 without any. */
    lastAttempt: (): number => last.get()?.seq ?? 0,
    /** Up to 50 attempts that were given before the one with this `seq`, the newest first. */
    pastAttempts: (seq: number) => before.all({ before: seq }),
  }
}
export type PastRow = ReturnType<ReturnType<typeof createPastAttempts>['pastAttempts']>[number]
