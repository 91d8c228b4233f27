import { and, desc, eq, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { resultKeys, resultSignatures, type ResultKeyRow, type ResultSignatureRow } from './receipt-schema.js'
import { literal, marks, names, render, rowOf, type Bound } from './statement.js'
import type { Database } from './sqlite.js'

/** A key, and whether it was proven. */
export type ResultKey = Pick<ResultKeyRow, 'public_key' | 'proven'>

export type ResultProofs = ReturnType<typeof createResultProofs>

const signatureColumns = ['task_id', 'attempt', 'signature'] as const

/** The rows of `result_keys` and `result_signatures`: what a receipt tells of who brought a result. */
export function createResultProofs(db: Database) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const { node_id, node_epoch, since_ms, public_key, proven } = resultKeys
  // Every result of a node that signs passes it: see tasks.ts.
  const sign = db.prepare<Bound<ResultSignatureRow, typeof signatureColumns>>(
    render(
      sql`INSERT INTO ${resultSignatures} (${names<ResultSignatureRow>(signatureColumns)}) VALUES (${marks(signatureColumns)})`,
    ),
  )
  const thisTask = eq(resultSignatures.task_id, placeholder('task_id'))
  const signatureOf = orm
    .select({ signature: resultSignatures.signature })
    .from(resultSignatures)
    .where(thisTask)
    .prepare()
  const removeSignature = orm.delete(resultSignatures).where(thisTask).prepare()
  const addKey = orm
    .insert(resultKeys)
    .values(rowOf(resultKeys))
    .onConflictDoUpdate({
      target: [node_id, node_epoch, since_ms],
      set: { public_key: sql`excluded.public_key`, proven: sql`excluded.proven` },
    })
    .prepare()
  const keyAt = literal(
    orm
      .select({ public_key, proven })
      .from(resultKeys)
      .where(
        and(
          eq(node_id, placeholder('node_id')),
          eq(node_epoch, placeholder('node_epoch')),
          lte(since_ms, placeholder('at')),
        ),
      )
      .orderBy(desc(since_ms))
      .limit(1),
  ).prepare()

  const find = (row: Pick<ResultKeyRow, 'node_id' | 'node_epoch'>, at: number): ResultKey | undefined =>
    keyAt.get({ node_id: row.node_id, node_epoch: row.node_epoch, at })
  return {
    /** The key under which a node brought what it brought at a time (service clock, ms); undefined where that was not kept. */
    keyAt: find,
    /** A result has come under this key: kept where the one before it came under another. */
    noteKey(row: ResultKeyRow) {
      const before = find(row, row.since_ms)
      if (before?.public_key !== row.public_key || before.proven !== row.proven) addKey.run(row)
    },
    /** Keeps the signature of a task's result. A task has one result. */
    sign: ({ task_id, attempt, signature }: ResultSignatureRow) => sign.run(task_id, attempt, signature),
    signatureOf: (task_id: string): string | null => signatureOf.get({ task_id })?.signature ?? null,
    /** With its task. */
    removeSignature: (task_id: string) => removeSignature.run({ task_id }),
  }
}
