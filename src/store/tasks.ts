import { and, eq, gt, isNull, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { canMove, hasEnded, type TaskStatus } from '../rules/lifecycle.js'
import type { AttemptRow, OpenAttempt } from './attempt-schema.js'
import { createNewTasks, type NewTask } from './new-tasks.js'
import { noneOpen, openValues, setNoneOpen, setOpen, type openColumns } from './open-columns.js'
import { createOwnerRuns, type DeletedRow } from './owner-runs.js'
import { createPaidTasks } from './paid-tasks.js'
import { createReadyTasks } from './ready-tasks.js'
import { inferenceTasks as tasks, type StoredTask, type TaskRow } from './schema.js'
import { bound, literal, name, render, updates, type Bound } from './statement.js'
import type { UndoLog } from '../lib/undo-log.js'
import { createTaskCounts } from './task-counts.js'
import { createTaskReads } from './task-reads.js'
import type { TaskTexts } from './task-texts.js'
import { createWaitingTasks } from './waiting-tasks.js'
import type { Database } from './sqlite.js'

export { SCAN_LIMITS, type Place, type ReadyTask } from './ready-tasks.js'
export type { NewTask } from './new-tasks.js'
export type { TaskCounts } from './task-counts.js'
export { textLength } from './task-texts.js'
export type { LargeText, ShownTask, TaskHead, TaskResult } from './task-reads.js'

/** What a node has answered. `notes`: JSON of what it says beside that, in the column `result_notes`. */
export interface Answer {
  output: string
  confidence: number
  notes: string | null
}

/** What changes together with a status. A task that goes back to `pending` takes its rank again. */
export type TaskChange =
  | ({ to: 'in_progress'; at: number } & OpenAttempt)
  /** `again`: it was opened again, and counts its attempts anew after this one. */
  | { to: 'pending'; queue_rank: number; at: number; again?: { after: number; queued_ms: number } }
  | ({ to: 'completed'; node_id: string; at: number } & Answer)
  | { to: 'failed' | 'timeout'; error: string; code: TaskRow['error_code']; at: number }
  | { to: 'submitted'; at: number }

/** A task as the retention looks at it: nothing of its texts. */
export type AgedTask = Pick<TaskRow, 'task_id' | 'status' | 'created_at' | 'updated_at'> & { seq: number }

export type TaskTable = ReturnType<typeof createTaskTable>

/** How many tasks a step of the retention looks at. */
const MAX_AGED = 100

/**
 * The rows of `inference_tasks`, and the one place that writes a status.
 *
 * What every task passes is a statement of better-sqlite3 with the names of the schema in it, rendered once, at start:
 * insert, assign and complete here, accept and complete of its attempt, the scan of its lane (ready-tasks.ts), and
 * the list (page-statements.ts). Those five writes take 16 us together, of the 60 to 100 us of CPU that a task costs; 21 us
 * as queries that drizzle prepares, whose placeholders are filled by name; 420 us as queries that it builds at each call.
 * Everything else is a query that drizzle prepares, once: up to 1 us more a call.
 *
 * The open attempt of a task is written with it (open-columns.ts): whatever takes it out of progress clears those columns.
 */
export function createTaskTable(db: Database, undo: Pick<UndoLog, 'keep'>, texts: TaskTexts) {
  const { task_id, status } = tasks
  const become = (to: TaskStatus) => sql`${name(status)} = ${to}`
  const runs = createOwnerRuns(db)
  const insert = createNewTasks(db, texts, runs)
  const toInProgress = db.prepare<
    [
      ...Bound<StoredTask, ['attempt', 'inference_node_id', 'updated_at']>,
      ...Bound<StoredTask, typeof openColumns>,
      task_id: string,
    ]
  >(
    render(sql`UPDATE ${tasks}
      SET ${become('in_progress')}, ${updates<TaskRow>(['attempt', 'inference_node_id', 'updated_at'])}, ${setOpen}
      WHERE ${task_id} = ? AND ${eq(status, 'pending')} AND ${isNull(tasks.open_lease_ms)}`),
  )
  const complete = db.prepare<
    Bound<
      TaskRow,
      ['output', 'result_notes', 'confidence', 'completed_at', 'updated_at', 'task_id', 'attempt', 'inference_node_id']
    >
  >(
    render(sql`UPDATE ${tasks}
      SET ${become('completed')}, ${setNoneOpen}, ${updates<TaskRow>(['output', 'result_notes', 'confidence', 'completed_at', 'updated_at'])}
      WHERE ${task_id} = ? AND ${eq(status, 'in_progress')} AND ${tasks.attempt} = ? AND ${tasks.inference_node_id} = ?`),
  )

  const orm = drizzle(db)
  const { placeholder } = sql
  const seq = sql<number>`rowid`
  const asRead = and(eq(task_id, placeholder('task_id')), eq(status, placeholder('status')))
  const toPending = literal(
    orm
      .update(tasks)
      .set({
        ...noneOpen,
        status: 'pending',
        inference_node_id: null,
        queue_rank: bound('queue_rank'),
        updated_at: bound('at'),
      })
      .where(asRead),
  ).prepare()
  const reopen = literal(
    orm
      .update(tasks)
      .set({
        status: 'pending',
        retried_after: bound('after'),
        queued_ms: bound('queued_ms'),
        error: null,
        error_code: null,
        inference_node_id: null,
        holds_payment: sql`CASE WHEN ${tasks.paid_nonce} IS NOT NULL THEN 1 END`,
        queue_rank: bound('queue_rank'),
        updated_at: bound('at'),
      })
      .where(asRead),
  ).prepare()
  const toCompleted = literal(
    orm
      .update(tasks)
      .set({
        ...noneOpen,
        status: 'completed',
        inference_node_id: bound('node_id'),
        output: bound('output'),
        result_notes: bound('notes'),
        confidence: bound('confidence'),
        completed_at: bound('at'),
        updated_at: bound('at'),
      })
      .where(asRead),
  ).prepare()
  const toEnd = orm
    .update(tasks)
    .set({
      ...noneOpen,
      status: bound('to'),
      error: bound('error'),
      error_code: bound('code'),
      inference_node_id: null,
      holds_payment: sql`CASE WHEN ${tasks.paid_nonce} IS NOT NULL THEN 0 END`,
      updated_at: bound('at'),
    })
    .where(asRead)
    .prepare()
  const toSubmitted = literal(
    orm
      .update(tasks)
      .set({ status: 'submitted', updated_at: bound('at') })
      .where(asRead),
  ).prepare()
  const remove = orm
    .delete(tasks)
    .where(asRead)
    .returning({ seq, owner_key: tasks.owner_key, in_run: tasks.in_run })
    .prepare()
  const storedAfter = literal(
    orm
      .select({ seq, task_id, status, created_at: tasks.created_at, updated_at: tasks.updated_at })
      .from(tasks)
      .where(gt(seq, placeholder('seq')))
      .orderBy(seq)
      .limit(MAX_AGED),
  ).prepare()

  const { counts, count, load, save } = createTaskCounts(db, undo)
  let ends = 0

  const sealed = (taskId: string, { output, notes }: Answer): Pick<Answer, 'output' | 'notes'> => ({
    output: texts.seal('output', taskId, output),
    notes: notes === null ? null : texts.seal('result_notes', taskId, notes),
  })

  const update = (task: Pick<TaskRow, 'task_id' | 'status'>, change: TaskChange) => {
    const { task_id, status } = task
    switch (change.to) {
      case 'in_progress':
        return toInProgress.run(change.attempt, change.node_id, change.at, ...openValues(change), task_id)
      case 'pending': {
        const { queue_rank, at, again } = change
        return again === undefined
          ? toPending.run({ task_id, status, queue_rank, at })
          : reopen.run({ task_id, status, queue_rank, at, ...again })
      }
      case 'completed':
        return toCompleted.run({ task_id, status, ...change, ...sealed(task_id, change) })
      case 'failed':
      case 'timeout':
        return toEnd.run({ task_id, status, ...change, error: texts.seal('error', task_id, change.error) })
      case 'submitted':
        return toSubmitted.run({ task_id, status, at: change.at })
    }
  }

  return {
    ...createPaidTasks(db),
    ...createReadyTasks(db),
    ...createWaitingTasks(db),
    counts,
    /** How many tasks have come to an end since the start; also where that was undone. */
    ends: (): number => ends,
    ...createTaskReads(db, texts),
    /** @param open the attempt that a task in progress is written with; null for one that waits */
    insert(task: NewTask, open: OpenAttempt | null = null) {
      insert(task, open)
      count(task.status, 1)
    },
    /**
     * Where a status changes, all but one. `task` is the row as it was read in this transaction.
     * @throws when the lifecycle does not allow the change, or the row is no longer in the status it was read in.
     */
    move(task: Pick<TaskRow, 'task_id' | 'status'>, change: TaskChange) {
      if (!canMove(task.status, change.to))
        throw new Error(`task ${task.task_id}: ${task.status} cannot become ${change.to}`)
      if (update(task, change).changes !== 1) throw new Error(`task ${task.task_id} was no longer ${task.status}`)
      count(task.status, -1)
      count(change.to, 1)
      if (hasEnded(change.to) && !hasEnded(task.status)) ends++
    },
    /**
     * The one change that is made without reading the row before, because nearly every task takes it: the attempt that is
     * at work on it brings its result. False, and nothing is changed, when the row says otherwise.
     */
    complete(
      { task_id, attempt, node_id }: Pick<AttemptRow, 'task_id' | 'attempt' | 'node_id'>,
      result: Answer,
      at: number,
    ): boolean {
      const { output, notes } = sealed(task_id, result)
      if (complete.run(output, notes, result.confidence, at, at, task_id, attempt, node_id).changes !== 1) return false
      count('in_progress', -1)
      count('completed', 1)
      ends++
      return true
    },
    /**
     * Deletes tasks that have reached their end; what else is stored of them is the caller's to delete. They are the rows
     * as they were read in this transaction. Counts when all are deleted, so that a caller can undo a part of them.
     * @throws when one has not ended, or is no longer in the status it was read in
     */
    remove(ended: readonly Pick<TaskRow, 'task_id' | 'status'>[]) {
      const deleted: DeletedRow[] = []
      for (const { task_id, status } of ended) {
        if (!hasEnded(status)) throw new Error(`task ${task_id} is ${status} and cannot be deleted`)
        const row = remove.get({ task_id, status })
        if (row === undefined) throw new Error(`task ${task_id} was no longer ${status}`)
        deleted.push(row)
      }
      runs.deleted(deleted)
      for (const { status } of ended) count(status, -1)
    },
    /** Something that was inserted is not there: the transaction, or a part of it, was undone. */
    undone: runs.forget,
    /** Up to 100 tasks that were stored after the one with this `seq`, in the order they were stored. */
    storedAfter: (seq: number): AgedTask[] => storedAfter.all({ seq }),
    /** Reads the counters from the file, at start. */
    loadCounts: load,
    /** Writes the counters that changed; belongs at the end of every transaction that moves tasks. */
    saveCounts: save,
  }
}
