import type { UndoLog } from '../lib/undo-log.js'
import { canMove, hasEnded, taskStatuses, type TaskStatus } from '../rules/lifecycle.js'
import type { Lane } from '../rules/models.js'
import { STARVED, type AttemptRow, type TaskRow } from './schema.js'
import type { Database } from './sqlite.js'

/** A task that waits, as much of it as a choice needs. */
export interface ReadyTask {
  seq: number
  task_id: string
  model_name: string
  model_type: string
  attempt: number
  queue_rank: number
  queued_ms: number
}

/** A task as it is first written: pending, or in progress at once. */
export type NewTask = Omit<TaskRow, 'output' | 'confidence' | 'completed_at' | 'error' | 'txid' | 'retried_after'>

/** What changes together with a status. A task that goes back to `pending` takes its rank again. */
export type TaskChange =
  | { to: 'in_progress'; attempt: number; node_id: string; at: number }
  /** `again`: it was opened again, and counts its attempts anew after this one. */
  | { to: 'pending'; queue_rank: number; at: number; again?: { after: number; queued_ms: number } }
  | { to: 'completed'; node_id: string; output: string; confidence: number; at: number }
  | { to: 'failed' | 'timeout'; error: string; at: number }

/** A task as the retention looks at it: nothing of its texts. */
export type AgedTask = Pick<TaskRow, 'task_id' | 'status' | 'created_at' | 'updated_at'> & { seq: number }

/** The length of what a task says, in UTF-16 units: what memory and frames are bounded by. */
export const textLength = (t: Pick<TaskRow, 'user_input' | 'context' | 'signed_tx'>): number =>
  t.user_input.length + t.context.length + (t.signed_tx?.length ?? 0)

export type TaskCounts = Record<TaskStatus, number>
export type TaskTable = ReturnType<typeof createTaskTable>

/** How many ready tasks a look at a lane fetches. */
export const LOOKS = [1, 4, 8, 16, 32, 48, 64, 96, 128, 256] as const

/** A place in a lane: behind this task. */
export type Place = Pick<ReadyTask, 'queue_rank' | 'seq'>

/**
 * The rows of `inference_tasks`. All statements are prepared once, with literals where a partial index needs one: a
 * bound LIMIT or status costs a new query plan at every call.
 */
export function createTaskTable(db: Database, undo: Pick<UndoLog, 'keep'>) {
  const insert = db.prepare(`
    INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type,
      model_name, model_key, signed_tx, signer_public_key, status, attempt, created_at, updated_at, queued_ms, queue_rank, inference_node_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const get = db.prepare<[string], TaskRow>('SELECT * FROM inference_tasks WHERE task_id = ?')
  const READY = 'rowid AS seq, task_id, model_name, model_type, attempt, queue_rank, queued_ms'
  // Going on behind a place is two seeks in the index: what has the same rank, then what has a lower one.
  const looks = (column: 'model_key' | 'model_type') =>
    LOOKS.map((n) => {
      const of = `SELECT ${READY} FROM inference_tasks WHERE status = 'pending' AND ${column} = ?`
      return {
        size: n,
        top: db.prepare<[string], ReadyTask>(`${of} ORDER BY queue_rank DESC, rowid LIMIT ${n}`),
        equal: db.prepare<[string, number, number], ReadyTask>(
          `${of} AND queue_rank = ? AND rowid > ? ORDER BY rowid LIMIT ${n}`,
        ),
        lower: db.prepare<[string, number], ReadyTask>(
          `${of} AND queue_rank < ? ORDER BY queue_rank DESC, rowid LIMIT ${n}`,
        ),
      }
    })
  const byModel = looks('model_key')
  const byFamily = looks('model_type')
  const toInProgress = db.prepare(
    "UPDATE inference_tasks SET status = 'in_progress', attempt = ?, inference_node_id = ?, updated_at = ? WHERE task_id = ? AND status = 'pending'",
  )
  const toPending = db.prepare(
    "UPDATE inference_tasks SET status = 'pending', inference_node_id = NULL, queue_rank = ?, updated_at = ? WHERE task_id = ? AND status = ?",
  )
  const reopen = db.prepare(
    "UPDATE inference_tasks SET status = 'pending', retried_after = ?, queued_ms = ?, error = NULL, inference_node_id = NULL, queue_rank = ?, updated_at = ? WHERE task_id = ? AND status = ?",
  )
  const toCompleted = db.prepare(
    "UPDATE inference_tasks SET status = 'completed', inference_node_id = ?, output = ?, confidence = ?, completed_at = ?, updated_at = ? WHERE task_id = ? AND status = ?",
  )
  const complete = db.prepare(
    "UPDATE inference_tasks SET status = 'completed', output = ?, confidence = ?, completed_at = ?, updated_at = ? WHERE task_id = ? AND status = 'in_progress' AND attempt = ? AND inference_node_id = ?",
  )
  const toEnd = db.prepare(
    'UPDATE inference_tasks SET status = ?, error = ?, inference_node_id = NULL, updated_at = ? WHERE task_id = ? AND status = ?',
  )
  const oldest = db.prepare<[number], { queued_ms: number }>(
    "SELECT queued_ms FROM inference_tasks WHERE status = 'pending' AND queued_ms > ? ORDER BY queued_ms LIMIT 1",
  )
  const waitedSince = db.prepare<[number], { task_id: string }>(
    "SELECT task_id FROM inference_tasks WHERE status = 'pending' AND queued_ms <= ? ORDER BY queued_ms LIMIT 200",
  )
  const unstarved = db.prepare<[number, number], { task_id: string; queued_ms: number }>(`
    SELECT task_id, queued_ms FROM inference_tasks WHERE status = 'pending' AND queued_ms > ? AND queued_ms <= ? AND queue_rank < ${STARVED} ORDER BY queued_ms LIMIT 200`)
  const starve = db.prepare(
    `UPDATE inference_tasks SET queue_rank = ${STARVED} WHERE task_id = ? AND status = 'pending'`,
  )
  const perUser = db.prepare<[], { user_address: string; n: number }>(
    "SELECT user_address, count(*) AS n FROM inference_tasks WHERE status = 'pending' GROUP BY user_address",
  )
  const oldestStored = db.prepare<[number], AgedTask>(
    'SELECT rowid AS seq, task_id, status, created_at, updated_at FROM inference_tasks WHERE rowid > ? ORDER BY rowid LIMIT 100',
  )
  const remove = db.prepare<[string, TaskStatus]>('DELETE FROM inference_tasks WHERE task_id = ? AND status = ?')
  const loadCounts = db.prepare<[], { status: TaskStatus; tasks: number }>('SELECT status, tasks FROM task_counts')
  const saveCount = db.prepare(
    'INSERT INTO task_counts (status, tasks) VALUES (?, ?) ON CONFLICT (status) DO UPDATE SET tasks = excluded.tasks',
  )

  const counts = Object.fromEntries(taskStatuses.map((s) => [s, 0])) as TaskCounts
  const changed = new Set<TaskStatus>()
  const count = (status: TaskStatus, by: 1 | -1): void => {
    undo.keep(counts)
    counts[status] += by
    changed.add(status)
  }

  const update = (task: Pick<TaskRow, 'task_id' | 'status'>, change: TaskChange) => {
    const { task_id, status } = task
    switch (change.to) {
      case 'in_progress':
        return toInProgress.run(change.attempt, change.node_id, change.at, task_id)
      case 'pending':
        if (change.again !== undefined)
          return reopen.run(change.again.after, change.again.queued_ms, change.queue_rank, change.at, task_id, status)
        return toPending.run(change.queue_rank, change.at, task_id, status)
      case 'completed':
        return toCompleted.run(change.node_id, change.output, change.confidence, change.at, change.at, task_id, status)
      case 'failed':
      case 'timeout':
        return toEnd.run(change.to, change.error, change.at, task_id, status)
    }
  }

  return {
    counts: counts as Readonly<TaskCounts>,
    get: (taskId: string) => get.get(taskId),
    insert(t: NewTask) {
      // By place: to bind twenty names takes longer than to insert the row.
      insert.run(
        t.task_id,
        t.user_address,
        t.user_input,
        t.context,
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
      )
      count(t.status, 1)
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
    },
    /**
     * The one change that is made without reading the row before, because nearly every task takes it: the attempt that is
     * at work on it brings its result. False, and nothing is changed, when the row says otherwise.
     */
    complete(
      { task_id, attempt, node_id }: Pick<AttemptRow, 'task_id' | 'attempt' | 'node_id'>,
      result: { output: string; confidence: number },
      at: number,
    ): boolean {
      if (complete.run(result.output, result.confidence, at, at, task_id, attempt, node_id).changes !== 1) return false
      count('in_progress', -1)
      count('completed', 1)
      return true
    },
    /**
     * Deletes tasks that have reached their end; what else is stored of them is the caller's to delete. They are the rows
     * as they were read in this transaction. Counts when all are deleted, so that a caller can undo a part of them.
     * @throws when one has not ended, or is no longer in the status it was read in
     */
    remove(tasks: readonly Pick<TaskRow, 'task_id' | 'status'>[]) {
      for (const { task_id, status } of tasks) {
        if (!hasEnded(status)) throw new Error(`task ${task_id} is ${status} and cannot be deleted`)
        if (remove.run(task_id, status).changes !== 1) throw new Error(`task ${task_id} was no longer ${status}`)
      }
      for (const { status } of tasks) count(status, -1)
    },
    /** Up to 100 tasks that were stored after the one with this `seq`, in the order they were stored. */
    storedAfter: (seq: number) => oldestStored.all(seq),
    /** The next LOOKS[look] ready tasks of a lane behind a place, best first; fewer only at the lane's end. */
    ready(lane: Lane, behind: Place | null, look: number): ReadyTask[] {
      const key = lane.slice(lane.indexOf(':') + 1)
      const statements = (lane.startsWith('name:') ? byModel : byFamily)[look]
      if (statements === undefined) return []
      if (behind === null) return statements.top.all(key)
      const equal = statements.equal.all(key, behind.queue_rank, behind.seq)
      return equal.length === statements.size
        ? equal
        : [...equal, ...statements.lower.all(key, behind.queue_rank)].slice(0, statements.size)
    },
    /** The time since which the oldest of the tasks waits that began to wait after `after`; null when there is none. */
    oldestAfter: (after: number): number | null => oldest.get(after)?.queued_ms ?? null,
    /** Up to 200 tasks that have waited since `time` or longer. */
    waitingSince: (time: number) => waitedSince.all(time),
    /** Up to 200 tasks that began to wait after `from`, at `to` or before, and do not go first yet. */
    unstarvedBetween: (from: number, to: number) => unstarved.all(from, to),
    starve: (taskId: string) => starve.run(taskId),
    pendingPerUser: () => perUser.all(),
    /** Reads the counters from the file, at start. */
    loadCounts() {
      for (const s of taskStatuses) counts[s] = 0
      for (const row of loadCounts.all()) counts[row.status] = row.tasks
      changed.clear()
    },
    /** Writes the counters that changed; belongs at the end of every transaction that moves tasks. */
    saveCounts() {
      for (const status of changed) saveCount.run(status, counts[status])
      changed.clear()
    },
  }
}
