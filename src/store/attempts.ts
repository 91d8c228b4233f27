import { attemptEnds, type AttemptEnd, type Fault } from '../rules/lifecycle.js'
import type { AttemptRow } from './schema.js'
import type { Database } from './sqlite.js'

/** An attempt that has not ended. */
export type OpenAttempt = Pick<
  AttemptRow,
  'task_id' | 'attempt' | 'node_id' | 'polled' | 'handouts' | 'assigned_ms' | 'accepted_ms' | 'lease_ms'
>
/** How an earlier attempt ended: what the next choice of a node looks at. */
export type PastAttempt = Pick<AttemptRow, 'attempt' | 'node_id' | 'end' | 'fault' | 'ended_ms' | 'accepted_ms'>

/** A moment, by the service clock and by the wall clock, ms. */
type Now = { readonly now: number; readonly wall: number }
const toAt = ({ wall }: Now): number => Math.floor(wall / 1000)

export type AttemptTable = ReturnType<typeof createAttemptTable>

/** The rows of `attempts`. */
export function createAttemptTable(db: Database) {
  const insert =
    db.prepare(`INSERT INTO attempts (task_id, attempt, node_id, polled, handouts, assigned_ms, accepted_ms, lease_ms, assigned_at, accepted_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const get = db.prepare<[string, number], AttemptRow>('SELECT * FROM attempts WHERE task_id = ? AND attempt = ?')
  const accept = db.prepare(
    'UPDATE attempts SET accepted_ms = ?, accepted_at = ? WHERE task_id = ? AND attempt = ? AND node_id = ? AND ended_ms IS NULL',
  )
  const handOut = db.prepare(
    'UPDATE attempts SET handouts = handouts + 1 WHERE task_id = ? AND attempt = ? AND ended_ms IS NULL',
  )
  const end = db.prepare(
    'UPDATE attempts SET ended_ms = ?, ended_at = ?, end = ?, fault = ?, error = ? WHERE task_id = ? AND attempt = ? AND node_id = ? AND ended_ms IS NULL',
  )
  const complete = db.prepare(
    "UPDATE attempts SET ended_ms = ?, ended_at = ?, end = 'completed', accepted_ms = coalesce(accepted_ms, ?, assigned_ms), accepted_at = coalesce(accepted_at, ?, assigned_at), fault = NULL, error = NULL, prompt_tokens = ?, completion_tokens = ? WHERE task_id = ? AND attempt = ? AND node_id = ?",
  )
  const past = db.prepare<[string], PastAttempt>(
    'SELECT attempt, node_id, end, fault, ended_ms, accepted_ms FROM attempts WHERE task_id = ? ORDER BY attempt',
  )
  const newestOf = db.prepare<[string, string], AttemptRow>(
    'SELECT * FROM attempts WHERE task_id = ? AND node_id = ? ORDER BY attempt DESC LIMIT 1',
  )
  const history = db.prepare<[string], AttemptRow>('SELECT * FROM attempts WHERE task_id = ? ORDER BY attempt')
  const begun = db.prepare<[string], { n: number }>(
    'SELECT count(*) AS n FROM attempts WHERE task_id = ? AND accepted_ms IS NOT NULL',
  )
  const open = db.prepare<[], OpenAttempt>(
    'SELECT task_id, attempt, node_id, polled, handouts, assigned_ms, accepted_ms, lease_ms FROM attempts WHERE ended_ms IS NULL',
  )
  const due = db.prepare<[number], { task_id: string; attempt: number }>(
    'SELECT task_id, attempt FROM attempts WHERE ended_ms IS NULL AND lease_ms <= ? ORDER BY lease_ms LIMIT 200',
  )
  const nextLease = db.prepare<[], { lease_ms: number }>(
    'SELECT lease_ms FROM attempts WHERE ended_ms IS NULL ORDER BY lease_ms LIMIT 1',
  )
  const extend = db.prepare<[number, number]>(
    'UPDATE attempts SET lease_ms = ? WHERE ended_ms IS NULL AND lease_ms < ?',
  )
  const remove = db.prepare('DELETE FROM attempts WHERE task_id = ?')
  const recent = db.prepare<
    [],
    { ms: number; ended_ms: number }
  >(`SELECT ended_ms - coalesce(accepted_ms, assigned_ms) AS ms, ended_ms
    FROM (SELECT * FROM attempts ORDER BY rowid DESC LIMIT 1000) WHERE end = 'completed'`)

  const must = (changes: number, what: string): void => {
    if (changes !== 1) throw new Error(`${what}: the attempt was no longer open`)
  }
  return {
    insert: (a: OpenAttempt, now: Now) =>
      insert.run(
        a.task_id,
        a.attempt,
        a.node_id,
        a.polled,
        a.handouts,
        a.assigned_ms,
        a.accepted_ms,
        a.lease_ms,
        toAt(now),
        a.accepted_ms === null ? null : toAt(now),
      ),
    get: (taskId: string, attempt: number) => get.get(taskId, attempt),
    /** Every attempt of a task, oldest first. */
    ofTask: (taskId: string) => past.all(taskId),
    /** Every attempt of a task with everything that is known of it, oldest first. */
    history: (taskId: string) => history.all(taskId),
    newestOf: (taskId: string, nodeId: string) => newestOf.get(taskId, nodeId),
    /** How many attempts of a task were begun: accepted, or handed to a poll. */
    begun: (taskId: string): number => begun.get(taskId)?.n ?? 0,
    /** Deletes every attempt of a task. */
    remove: (taskId: string) => remove.run(taskId),
    allOpen: () => open.all(),
    accept: (a: OpenAttempt, now: Now) =>
      must(accept.run(now.now, toAt(now), a.task_id, a.attempt, a.node_id).changes, 'accept'),
    handOut: (a: OpenAttempt) => must(handOut.run(a.task_id, a.attempt).changes, 'handOut'),
    end: (a: OpenAttempt, how: Exclude<AttemptEnd, 'completed'>, fault: Fault | null, error: string | null, now: Now) =>
      must(end.run(now.now, toAt(now), how, fault, error, a.task_id, a.attempt, a.node_id).changes, how),
    /** Also for an attempt that had ended: a late result was taken. One that was accepted, and is not written so, was accepted now. */
    complete: (
      a: Pick<AttemptRow, 'task_id' | 'attempt' | 'node_id' | 'accepted_ms'>,
      usage: { prompt_tokens: number; completion_tokens: number } | null,
      now: Now,
    ) =>
      must(
        complete.run(
          now.now,
          toAt(now),
          a.accepted_ms,
          a.accepted_ms === null ? null : toAt(now),
          usage?.prompt_tokens ?? null,
          usage?.completion_tokens ?? null,
          a.task_id,
          a.attempt,
          a.node_id,
        ).changes,
        'complete',
      ),
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
