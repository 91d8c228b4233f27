import { sql } from 'drizzle-orm'
import type { OpenAttempt } from './attempt-schema.js'
import { openColumns, openValues } from './open-columns.js'
import type { OwnerRuns } from './owner-runs.js'
import { inferenceTasks as tasks, ownerKey, type StoredTask, type TaskRow } from './schema.js'
import { marks, names, render, type Bound } from './statement.js'
import type { Database } from './sqlite.js'
import type { Prompt, TaskTexts } from './task-texts.js'

const newColumns = [
  'task_id',
  'user_address',
  'user_input',
  'context',
  'fee',
  'nonce',
  'infer_fee',
  'max_infer_time',
  'model_type',
  'model_name',
  'model_key',
  'signed_tx',
  'signer_public_key',
  'status',
  'attempt',
  'created_at',
  'updated_at',
  'queued_ms',
  'queue_rank',
  'inference_node_id',
  'owner_key',
  'in_run',
  'txid',
  'paid_nonce',
  'holds_payment',
  'params',
  'needs',
  'join_key',
  'traceparent',
] as const
const sentColumns = ['is_encrypted', 'text_keys', 'texts_digest'] as const
const writtenColumns = [...newColumns, ...sentColumns] as const
const begunColumns = [...writtenColumns, ...openColumns] as const

/** A task as it is first written: pending, or in progress at once. Its texts are in the clear. */
export type NewTask = Pick<TaskRow, Exclude<(typeof newColumns)[number], 'owner_key' | 'in_run'> | 'owner_id'> & {
  /** How its texts came, and are stored, where that was encrypted. */
  sent?: (Prompt & { keys: string }) | undefined
}

/** Writes new tasks. Statements of better-sqlite3, for the reason that stands in tasks.ts. */
export function createNewTasks(db: Database, texts: TaskTexts, runs: Pick<OwnerRuns, 'next'>) {
  const into = <Columns extends readonly (keyof StoredTask)[]>(columns: Columns) =>
    db.prepare<Bound<StoredTask, Columns>>(
      render(sql`INSERT INTO ${tasks} (${names<StoredTask>(columns)}) VALUES (${marks(columns)})`),
    )
  const insertPending = into(writtenColumns)
  const insertBegun = into(begunColumns)

  // By place: to bind twenty names takes longer than to insert the row.
  const valuesOf = (t: NewTask): Bound<StoredTask, typeof writtenColumns> => {
    const came = t.sent ?? t
    const owner = t.owner_id && ownerKey(t.owner_id)
    return [
      t.task_id,
      t.user_address,
      texts.seal('user_input', t.task_id, came.user_input),
      texts.seal('context', t.task_id, came.context),
      t.fee,
      t.nonce,
      t.infer_fee,
      t.max_infer_time,
      t.model_type,
      t.model_name,
      t.model_key,
      t.signed_tx,
      t.signer_public_key,
      t.status,
      t.attempt,
      t.created_at,
      t.updated_at,
      t.queued_ms,
      t.queue_rank,
      t.inference_node_id,
      owner,
      runs.next(owner),
      t.txid,
      t.paid_nonce,
      t.holds_payment,
      t.params === null ? null : texts.seal('params', t.task_id, t.params),
      t.needs,
      t.join_key,
      t.traceparent,
      t.sent === undefined ? 0 : 1,
      t.sent?.keys ?? null,
      texts.digest(t.task_id, came),
    ]
  }

  return (task: NewTask, open: OpenAttempt | null): void => {
    if (open === null) insertPending.run(...valuesOf(task))
    else insertBegun.run(...valuesOf(task), ...openValues(open))
  }
}
