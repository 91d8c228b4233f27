import { expect } from 'vitest'
import { failurePauseMs } from '../../src/rules/scoring.js'
import type { Database } from '../../src/store/sqlite.js'

/** What the rules of fairness look at of an attempt. */
export interface FairAttempt {
  attempt: number
  node_id: string
  node_epoch: number
  handouts: number
  assigned_ms: number
  ended_ms: number | null
  end: string | null
  fault: string | null
}

const FAILURES = ['failed', 'lost', 'timeout']

/** What must be true of the attempts of every task that was never retried, with the default settings. */
export function checkFairness(
  { task_id, status }: { task_id: string; status: string },
  attempts: readonly FairAttempt[],
) {
  const inOrder = attempts.toSorted((a, b) => a.attempt - b.attempt)
  for (const a of inOrder) {
    const own = inOrder.filter(
      (b) =>
        b.attempt < a.attempt &&
        b.node_id === a.node_id &&
        b.node_epoch === a.node_epoch &&
        FAILURES.includes(b.end ?? ''),
    )
    const last = own.at(-1)
    if (last?.fault === 'node')
      expect(
        a.assigned_ms - (last.ended_ms ?? 0),
        `the pause of ${a.node_id} before ${a.attempt} of ${task_id}`,
      ).toBeGreaterThanOrEqual(failurePauseMs(own.length))
    // A repeated poll counts once a second at most.
    if (a.ended_ms !== null)
      expect(a.handouts - 1, `hand-outs of ${a.attempt} of ${task_id}`).toBeLessThanOrEqual(
        (a.ended_ms - a.assigned_ms) / 1000,
      )
  }
  const timeouts = inOrder.filter((a) => a.end === 'timeout').length
  expect(timeouts, `timeouts of ${task_id}, ${status}`).toBeLessThanOrEqual(2)
  if (timeouts === 2 && status !== 'completed') expect(status, task_id).toBe('timeout')
}

/** Open attempts of a node that is not the one that they were given to. */
export const strangersWithAttempts = (db: Database) =>
  db
    .prepare(
      `SELECT a.task_id, a.attempt, a.node_id FROM attempts a LEFT JOIN inference_nodes n USING (node_id)
       WHERE a.ended_ms IS NULL AND (n.epoch IS NULL OR n.epoch <> a.node_epoch)`,
    )
    .all()
