import { expect } from 'vitest'
import type { Core } from '../../src/core/engine/core.js'
import type { Database } from '../../src/store/sqlite.js'
import { outcomeOf } from './core-harness.js'

/** What waits and is worked on by model equals what the file holds, whatever has happened. */
export function checkFigures(core: Core, db: Database): void {
  const rows = db
    .prepare<[], { status: string; queued_ms: number }>(
      `SELECT status, queued_ms FROM inference_tasks WHERE status IN ('pending', 'in_progress')`,
    )
    .all()
  const found = outcomeOf(core.turn([{ op: 'modelRates' }]), 'modelRates')
  if (found?.ok !== true) throw new Error('no models')
  const sum = (of: 'waiting' | 'running'): number => found.value.reduce((n, m) => n + m[of], 0)
  const pending = rows.filter((r) => r.status === 'pending')
  expect(sum('waiting'), 'waiting by model').toBe(pending.length)
  expect(sum('running'), 'running by model').toBe(rows.length - pending.length)
  const overview = outcomeOf(core.turn([{ op: 'overview', window: '15m', model: null }]), 'overview')
  if (overview?.ok !== true) throw new Error('no overview')
  const ages = found.value.map((m) => m.oldest_waiting_seconds ?? -1)
  const oldest = overview.value.oldest_waiting_seconds
  expect(oldest === null, 'the oldest').toBe(pending.length === 0)
  // By model it is known to the second.
  if (oldest !== null) expect(Math.abs(Math.max(...ages) - oldest), 'the oldest by model').toBeLessThanOrEqual(1)
}
