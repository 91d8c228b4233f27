import type Database from 'better-sqlite3'
import { attemptEnds, type AttemptEnd } from '../tasks/lifecycle.js'
import type { AttemptRow } from './schema.js'

/** An attempt that has not ended. */
export type OpenAttempt = Pick<AttemptRow, 'task_id' | 'attempt' | 'node_id' | 'polled' | 'handouts' | 'assigned_ms' | 'accepted_ms' | 'lease_ms'>
/** How an earlier attempt ended: what the next choice of a node looks at. */
export type PastAttempt = Pick<AttemptRow, 'attempt' | 'node_id' | 'end' | 'ended_ms' | 'accepted_ms'>

export type AttemptTable = ReturnType<typeof createAttemptTable>

/** The rows of `attempts`. */
export function createAttemptTable(db: Database.Database) {
  const insert = db.prepare<OpenAttempt>(`INSERT INTO attempts (task_id, attempt, node_id, polled, handouts, assigned_ms, accepted_ms, lease_ms)
    VALUES (@task_id, @attempt, @node_id, @polled, @handouts, @assigned_ms, @accepted_ms, @lease_ms)`)
  const get = db.prepare<[string, number], AttemptRow>('SELECT * FROM attempts WHERE task_id = ? AND attempt = ?')
  const accept = db.prepare('UPDATE attempts SET accepted_ms = ? WHERE task_id = ? AND attempt = ? AND node_id = ? AND ended_ms IS NULL')
  const handOut = db.prepare('UPDATE attempts SET handouts = handouts + 1 WHERE task_id = ? AND attempt = ? AND ended_ms IS NULL')
  const end = db.prepare('UPDATE attempts SET ended_ms = ?, end = ?, error = ? WHERE task_id = ? AND attempt = ? AND node_id = ? AND ended_ms IS NULL')
  const complete = db.prepare("UPDATE attempts SET ended_ms = ?, end = 'completed', accepted_ms = coalesce(accepted_ms, assigned_ms), error = NULL, prompt_tokens = ?, completion_tokens = ? WHERE task_id = ? AND attempt = ? AND node_id = ?")
  const past = db.prepare<[string], PastAttempt>('SELECT attempt, node_id, end, ended_ms, accepted_ms FROM attempts WHERE task_id = ? ORDER BY attempt')
  const newestOf = db.prepare<[string, string], AttemptRow>('SELECT * FROM attempts WHERE task_id = ? AND node_id = ? ORDER BY attempt DESC LIMIT 1')
  const begun = db.prepare<[string], { n: number }>('SELECT count(*) AS n FROM attempts WHERE task_id = ? AND accepted_ms IS NOT NULL')
  const open = db.prepare<[], OpenAttempt>('SELECT task_id, attempt, node_id, polled, handouts, assigned_ms, accepted_ms, lease_ms FROM attempts WHERE ended_ms IS NULL')
  const due = db.prepare<[number], { task_id: string; attempt: number }>('SELECT task_id, attempt FROM attempts WHERE ended_ms IS NULL AND lease_ms <= ? ORDER BY lease_ms LIMIT 200')
  const nextLease = db.prepare<[], { lease_ms: number }>('SELECT lease_ms FROM attempts WHERE ended_ms IS NULL ORDER BY lease_ms LIMIT 1')
  const extend = db.prepare<[number, number]>('UPDATE attempts SET lease_ms = ? WHERE ended_ms IS NULL AND lease_ms < ?')
  const recent = db.prepare<[], { ms: number; ended_ms: number }>(`SELECT ended_ms - coalesce(accepted_ms, assigned_ms) AS ms, ended_ms
    FROM (SELECT * FROM attempts ORDER BY rowid DESC LIMIT 1000) WHERE end = 'completed'`)

  const must = (changes: number, what: string): void => {
    if (changes !== 1) throw new Error(`${what}: the attempt was no longer open`)
  }
  return {
    insert: (row: OpenAttempt) => insert.run(row),
    get: (taskId: string, attempt: number) => get.get(taskId, attempt),
    /** Every attempt of a task, oldest first. */
    ofTask: (taskId: string) => past.all(taskId),
    newestOf: (taskId: string, nodeId: string) => newestOf.get(taskId, nodeId),
    /** How many attempts of a task were begun: accepted, or handed to a poll. */
    begun: (taskId: string): number => begun.get(taskId)?.n ?? 0,
    allOpen: () => open.all(),
    accept: (a: OpenAttempt, at: number) => must(accept.run(at, a.task_id, a.attempt, a.node_id).changes, 'accept'),
    handOut: (a: OpenAttempt) => must(handOut.run(a.task_id, a.attempt).changes, 'handOut'),
    end: (a: OpenAttempt, how: Exclude<AttemptEnd, 'completed'>, error: string | null, at: number) =>
      must(end.run(at, how, error, a.task_id, a.attempt, a.node_id).changes, how),
    /** Also for an attempt that had ended: a late result was taken. */
    complete: (a: Pick<AttemptRow, 'task_id' | 'attempt' | 'node_id'>, usage: { prompt_tokens: number; completion_tokens: number } | null, at: number) =>
      must(complete.run(at, usage?.prompt_tokens ?? null, usage?.completion_tokens ?? null, a.task_id, a.attempt, a.node_id).changes, 'complete'),
    /** Up to 200 open attempts whose lease ended at `time` or before. */
    leasesDue: (time: number) => due.all(time),
    nextLease: (): number | null => nextLease.get()?.lease_ms ?? null,
    /** Gives every open lease at least until `time`. */
    extendLeases: (time: number) => extend.run(time, time),
    /** How long those of the newest 1,000 attempts took that were completed, newest first. */
    recentDurations: () => recent.all(),
  }
}

/** The nodes that lost or failed a task. */
export const nodesToAvoid = (attempts: readonly PastAttempt[]): Set<string> =>
  new Set(attempts.filter((a) => a.end !== null && attemptEnds[a.end].avoid).map((a) => a.node_id))
