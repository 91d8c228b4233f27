import { and, count, eq, gt, lt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { createOwnerPages } from './owner-pages.js'
import { createPages } from './pages.js'
import { inferenceTasks as tasks, reopenings, type ReopeningRow } from './schema.js'
import { bound, literal } from './statement.js'
import type { TaskHead } from './task-reads.js'
import type { TaskTexts } from './task-texts.js'
import type { Database } from './sqlite.js'

/** Positions in the queue are counted up to this. */
export const POSITION_LIMIT = 1000

export type History = ReturnType<typeof createHistory>

/** What is read of the past and of the queue; nothing here is on the way of a task. */
export function createHistory(db: Database, texts: TaskTexts) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const seq = sql<number>`rowid`
  const aheadByRank = (lane: 'model_key' | 'model_type') => {
    const inLane = and(eq(tasks.status, 'pending'), eq(tasks[lane], placeholder('key')))
    const { queue_rank } = tasks
    const rank = placeholder('rank')
    const higher = orm
      .select({ queue_rank })
      .from(tasks)
      .where(and(inLane, gt(queue_rank, rank)))
    const older = orm
      .select({ queue_rank })
      .from(tasks)
      .where(and(inLane, eq(queue_rank, rank), lt(seq, placeholder('seq'))))
    return {
      higher: literal(orm.select({ n: count() }).from(higher.limit(POSITION_LIMIT).as('higher'))).prepare(),
      older: literal(orm.select({ n: count() }).from(older.limit(POSITION_LIMIT).as('older'))).prepare(),
    }
  }
  const ahead = { model_key: aheadByRank('model_key'), model_type: aheadByRank('model_type') }
  const seqOf = orm
    .select({ seq })
    .from(tasks)
    .where(eq(tasks.task_id, placeholder('task_id')))
    .prepare()
  const ofTask = eq(reopenings.task_id, placeholder('task_id'))
  const add = orm
    .insert(reopenings)
    .values({
      task_id: bound('task_id'),
      attempt: bound('attempt'),
      status: bound('status'),
      // As it is stored: whether it can be read is no reason not to try the task again.
      error: sql`(SELECT ${tasks.error} FROM ${tasks} WHERE ${tasks.task_id} = ${placeholder('task_id')})`,
      ended_at: bound('ended_at'),
      reopened_at: bound('reopened_at'),
    })
    .prepare()
  const all = orm.select().from(reopenings).where(ofTask).orderBy(seq).prepare()
  const remove = orm.delete(reopenings).where(ofTask).prepare()

  return {
    ...createPages(db, texts),
    ...createOwnerPages(db, texts),
    /** How many tasks wait before this one for the same nodes, at most POSITION_LIMIT. */
    ahead({ task_id, queue_rank: rank, model_type, model_key }: QueuedTask, known: boolean): number {
      const { higher, older } = known ? ahead.model_type : ahead.model_key
      const key = known ? model_type : model_key
      const n =
        (higher.get({ key, rank })?.n ?? 0) + (older.get({ key, rank, seq: seqOf.get({ task_id })?.seq ?? 0 })?.n ?? 0)
      return Math.min(n, POSITION_LIMIT)
    },
    /** Of a task that has not been opened again yet: its error is taken from its row. */
    addReopening: (row: Omit<ReopeningRow, 'error'>) => add.run(row),
    /** @throws SealedTextError */
    reopenings: (task_id: string): ReopeningRow[] =>
      all.all({ task_id }).map((row) => {
        if (row.error !== null) row.error = texts.open('error', task_id, row.error)
        return row
      }),
    removeReopenings: (task_id: string) => remove.run({ task_id }),
  }
}

/** What says where a task is in its queue. */
export type QueuedTask = Pick<
  TaskHead,
  'task_id' | 'queue_rank' | 'model_type' | 'model_key' | 'model_name' | 'infer_fee' | 'paid_nonce' | 'needs'
>
