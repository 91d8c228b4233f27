import { expect, test } from 'vitest'
import type { Operation } from '../../src/core/operations.js'
import { assigned, coreHarness, diskFull } from '../support/core-harness.js'

// What somebody else does to the file or the disk, and what shares a turn with it: memory must not stay wrong for ever.

const complete = (session: number, { task_id, attempt }: { task_id: string; attempt: number }): Operation => ({
  op: 'nodeMessage',
  session,
  message: { type: 'task.complete', task_id, attempt, output: 'x', confidence: 1 },
})
const register = (node_id: string, public_key: string): Operation => ({
  op: 'register',
  from: [],
  node: {
    node_id,
    endpoint: '',
    public_key,
    supported_models: ['llama'],
    performance_score: 1,
    max_concurrent_tasks: 1,
  },
})
const first = <T>(list: readonly T[]): T => {
  if (list[0] === undefined) throw new Error('nothing was assigned')
  return list[0]
}
const rows = (core: ReturnType<typeof coreHarness>) =>
  core.db.prepare('SELECT node_id, public_key FROM inference_nodes').all()

test('a node that is forgotten in the turn of its last result stays forgotten, and its name is free', () => {
  const core = coreHarness()
  core.turn(core.hello(1, 'a', 1))
  const given = first(assigned(core.submit(1).effects))
  core.turn(complete(1, given), { op: 'forget', node_id: 'a' })
  core.passes(60_000)
  expect(rows(core)).toEqual([])

  core.turn(core.hello(2, 'b', 1))
  const next = first(assigned(core.submit(1).effects))
  core.turn(complete(2, next), { op: 'forget', node_id: 'b' }, register('b', 'another-key'))
  core.passes(60_000)
  expect(rows(core)).toEqual([{ node_id: 'b', public_key: 'another-key' }])
})

test('a task that is deleted in the file while a node holds it keeps no deadline of others from passing', () => {
  const core = coreHarness({ accept_timeout: 5 })
  core.turn(core.hello(1, 'a', 1), core.hello(2, 'b', 1))
  const given = assigned(core.submit(2).effects)
  const deleted = first(given).task_id
  core.db.prepare('DELETE FROM inference_tasks WHERE task_id = ?').run(deleted)
  core.passes(10_000)
  expect(core.turn({ op: 'tick' }).outcomes[0]).toMatchObject({ ok: true })
  expect(core.db.prepare("SELECT end FROM attempts WHERE task_id <> '' ORDER BY attempt LIMIT 1").get()).toEqual({
    end: 'unaccepted',
  })
  // Neither node holds anything that the file does not know: both come back.
  const { effects } = core.turn(core.hello(3, 'a', 1), core.hello(4, 'b', 1))
  const welcomes = effects.filter((e) => 'message' in e && e.message.type === 'session.welcome')
  expect(welcomes).toHaveLength(2)
})

test('an open attempt that only the file knows ends when its lease does', () => {
  const core = coreHarness()
  core.turn(core.hello(1, 'a', 1))
  const given = first(assigned(core.submit(1, { max_infer_time: 20 }).effects))
  core.turn(complete(1, given))
  core.db
    .exec(`UPDATE inference_tasks SET status = 'in_progress', open_lease_ms = a.lease_ms, open_polled = 0, open_handouts = 0,
    open_node_epoch = a.node_epoch, open_assigned_ms = a.assigned_ms, open_assigned_at = a.assigned_at, open_begun = 1,
    open_accepted_ms = a.accepted_ms, open_accepted_at = a.accepted_at FROM ended_attempts AS a`)
  core.db.exec('DELETE FROM ended_attempts')
  core.passes(30_000)
  expect(core.turn({ op: 'tick' }).outcomes[0]).toMatchObject({ ok: true })
  expect(core.db.prepare('SELECT end FROM attempts WHERE attempt = 1').get()).toEqual({ end: 'timeout' })
})

test.each(['completed', 'unaccepted'] as const)(
  'an attempt that somebody has written as ended can still be %s, and its row says what the service knows',
  (end) => {
    const core = coreHarness()
    core.turn(core.hello(1, 'a', 1))
    const given = first(assigned(core.submit(1, { max_infer_time: 20 }).effects))
    core.db
      .exec(`INSERT INTO ended_attempts (task_id, attempt, node_id, polled, handouts, assigned_ms, lease_ms, ended_ms, end)
      VALUES ('${given.task_id}', 1, 'ghost', 0, 0, 1, 1, 1, 'lost')`)
    const { events } = core.turn(...(end === 'completed' ? [complete(1, given)] : []))
    if (end === 'unaccepted') core.passes(60_000)
    else expect(events).toContainEqual(expect.objectContaining({ event: 'task.inconsistent', task_id: given.task_id }))
    expect(core.db.prepare('SELECT attempt, node_id, end FROM attempts').all()).toEqual([
      { attempt: 1, node_id: 'a', end },
    ])
  },
)

test('a write-ahead log that cannot be emptied refuses what writes, and forgets no session that ended', () => {
  const core = coreHarness()
  core.turn(core.hello(1, 'a', 1))
  core.walFails(diskFull)
  core.passes(2000)
  const { outcomes } = core.turn({ op: 'stats' }, { op: 'nodeDisconnected', session: 1, returned: false })
  expect(outcomes[0]).toMatchObject({ ok: true })
  expect(core.turn({ op: 'health' }).outcomes[0]).toMatchObject({ ok: false, code: 'unavailable' })
  expect(core.turn({ op: 'nodes', after: null, limit: 9 }).outcomes[0]).toMatchObject({
    value: { nodes: [{ status: 'offline' }] },
  })
})

test('a polling node whose hello could not be stored is counted as it was', () => {
  const core = coreHarness()
  core.turn(register('a', 'k'))
  core.commitsFail(diskFull)
  core.turn(core.hello(1, 'a', 1))
  expect(core.turn({ op: 'stats' }).outcomes[0]).toMatchObject({
    value: { nodes: { online_nodes: 1, offline_nodes: 0 } },
  })
})
