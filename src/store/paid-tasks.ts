import { and, eq, gte, isNotNull, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { inferenceTasks as tasks, type TaskRow } from './schema.js'
import { literal, render } from './statement.js'
import type { Database } from './sqlite.js'

/** What the payments of an origin are good for at most, micro-STX: a sum that is larger is told as this. */
const MOST = Number.MAX_SAFE_INTEGER

/** Finds tasks by the transaction that pays for them. */
export function createPaidTasks(db: Database) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const { task_id, user_address, paid_nonce, status } = tasks
  // Word for word the condition of the index, or SQLite does not take it.
  const holds = eq(tasks.holds_payment, 1)
  const payment = literal(
    orm
      .select({ task_id, status })
      .from(tasks)
      .where(and(holds, eq(user_address, placeholder('origin')), eq(paid_nonce, placeholder('nonce')))),
  ).prepare()
  const committed = literal(
    orm
      .select({
        sum: sql<number>`coalesce(min(total(${tasks.infer_fee} + ${tasks.fee}), ${sql.raw(String(MOST))}), 0)`,
      })
      .from(tasks)
      .where(and(holds, eq(user_address, placeholder('origin')), gte(paid_nonce, placeholder('nonce')))),
  ).prepare()
  const byTxid = literal(
    orm
      .select({ task_id, status })
      .from(tasks)
      .where(and(isNotNull(paid_nonce), eq(tasks.txid, placeholder('txid'))))
      .orderBy(sql`rowid DESC`)
      .limit(100),
  ).prepare()

  // What every result passes.
  const isPaid = db.prepare<[string], { paid: number }>(
    render(sql`SELECT ${paid_nonce} IS NOT NULL AS paid FROM ${tasks} WHERE ${task_id} = ?`),
  )

  return {
    /** The task that a payment of this origin and nonce is for, unless that came to nothing. */
    ofPayment: (origin: string, nonce: number): Pick<TaskRow, 'task_id' | 'status'> | undefined =>
      payment.get({ origin, nonce }),
    /** Whether a transaction pays for it. */
    isPaid: (taskId: string): boolean => (isPaid.get(taskId)?.paid ?? 0) === 1,
    /** What the payments of an origin from this nonce on are good for together, micro-STX. */
    committed: (origin: string, nonce: number): number => committed.get({ origin, nonce })?.sum ?? 0,
    /** The task that a transaction pays for; one that came to nothing only where there is no other. */
    byTxid(txid: string): string | undefined {
      const found = byTxid.all({ txid })
      return (found.find((t) => t.status !== 'failed' && t.status !== 'timeout') ?? found[0])?.task_id
    },
  }
}
