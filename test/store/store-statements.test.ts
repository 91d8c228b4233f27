import { getTableColumns, is, sql } from 'drizzle-orm'
import { SQLiteTable } from 'drizzle-orm/sqlite-core'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { OpenAttempt } from '../../src/store/attempts.js'
import * as attemptSchema from '../../src/store/attempt-schema.js'
import { openDatabase } from '../../src/store/open.js'
import * as schema from '../../src/store/schema.js'
import type { NodeRow, ReopeningRow } from '../../src/store/schema.js'
import { render } from '../../src/store/statement.js'
import { createStore } from '../../src/store/store.js'
import { newTask as task } from '../support/new-task.js'
import { tempDir } from '../support/temp-dir.js'
import type { Database } from '../../src/store/sqlite.js'

const unended = {
  retried_after: 0,
  output: null,
  result_notes: null,
  confidence: null,
  completed_at: null,
  error: null,
  error_code: null,
  txid: null,
  is_encrypted: 0,
  text_keys: null,
  texts_digest: null,
}
const attempt: OpenAttempt = {
  task_id: 't-1',
  attempt: 1,
  node_id: 'n-1',
  polled: 1,
  handouts: 2,
  assigned_ms: 3,
  accepted_ms: null,
  lease_ms: 4,
  assigned_at: 60,
  accepted_at: null,
  node_epoch: 5,
}
const node: NodeRow = {
  node_id: 'n-1',
  endpoint: 'endpoint',
  public_key: 'key',
  key_proven: 1,
  node_address: null,
  status: 'online',
  supported_models: '["llama"]',
  performance_score: 0.25,
  max_concurrent_tasks: 2,
  transport: 'rest',
  agent: 'agent/1',
  last_heartbeat: 3,
  last_seen_ms: 4,
  successes: 5.5,
  failures: 6.5,
  mean_seconds: 7.5,
  failures_in_row: 8,
  cooled_until_ms: 9,
  drained: 10,
  epoch: 11,
}
const reopening: ReopeningRow = {
  task_id: 't-1',
  attempt: 1,
  status: 'failed',
  error: null,
  ended_at: 2,
  reopened_at: 3,
}
const unused = { prompt_tokens: null, completion_tokens: null, first_word_ms: null }
const now = { now: 50, wall: 60_000 }

function open() {
  const { db, close } = openDatabase(join(tempDir(), 'inference.db'))
  onTestFinished(close)
  return db
}

test('a row comes back as it was written, column by column', () => {
  const { tasks, attempts, nodes, history, ...store } = createStore(open())
  tasks.insert(task)
  expect(tasks.get('t-1')).toEqual({ ...task, ...unended })
  expect(tasks.get('t-2')).toBeUndefined()
  tasks.move(task, { to: 'in_progress', at: 10, ...attempt })
  const begun = { status: 'in_progress', attempt: 1, inference_node_id: 'n-1', updated_at: 10 }
  expect(tasks.get('t-1')).toEqual({ ...task, ...unended, ...begun })
  const unfinished = { ended_ms: null, end: null, fault: null, error: null, ended_at: null }
  const written = { ...attempt, ...unfinished, ...unused }
  const { error: _, ...head } = written
  expect(attempts.get('t-1', 1)).toEqual(head)
  expect(attempts.allOpen()).toEqual([attempt])
  attempts.accept(attempt, { now: 51, wall: 61_000 })
  expect(attempts.get('t-1', 1)).toEqual({ ...head, accepted_ms: 51, accepted_at: 61 })
  attempts.handOut(attempt)
  attempts.extendLeases(14)
  const accepted = { ...attempt, accepted_ms: 51, accepted_at: 61, handouts: 3, lease_ms: 14 }
  expect(attempts.allOpen()).toEqual([accepted])
  expect(tasks.complete(attempt, { output: 'out', confidence: 0.5, notes: '{"finish_reason":"stop"}' }, 20)).toBe(true)
  expect(attempts.history('t-1')).toEqual([])
  const usage = { prompt_tokens: 11, completion_tokens: 12 }
  expect(attempts.complete(accepted, usage, 52, { now: 53, wall: 63_000 })).toBe(true)
  expect(attempts.history('t-1')).toEqual([
    {
      ...written,
      ...accepted,
      ended_ms: 53,
      ended_at: 63,
      end: 'completed',
      prompt_tokens: 11,
      completion_tokens: 12,
      first_word_ms: 52,
    },
  ])
  expect(attempts.recentDurations()).toEqual([{ ms: 2, ended_ms: 53 }])
  const completed = {
    status: 'completed',
    output: 'out',
    result_notes: '{"finish_reason":"stop"}',
    confidence: 0.5,
    completed_at: 20,
    updated_at: 20,
  }
  expect(tasks.get('t-1')).toEqual({ ...task, ...unended, ...begun, ...completed })

  nodes.save({ ...node, endpoint: 'before', drained: 0 })
  nodes.save(node)
  expect(nodes.all()).toEqual([node])
  expect(nodes.get('n-1')).toEqual(node)
  expect([nodes.nextEpoch(), nodes.nextEpoch()]).toEqual([1, 2])
  nodes.keepName('n-1', 'key', 60, 50)
  expect([nodes.nameKeptFor('n-1', 59), nodes.nameKeptFor('n-1', 60), nodes.nameKeptFor('n-2', 50)]).toEqual([
    'key',
    null,
    null,
  ])
  nodes.freeName('n-1')
  expect(nodes.nameKeptFor('n-1', 50)).toBeNull()
  history.addReopening(reopening)
  expect(history.reopenings('t-1')).toEqual([reopening])
  expect(store.loadClock()).toBeNull()
  store.saveClock(101, 2)
  store.saveClock(103, 4)
  expect(store.loadClock()).toBe(103)
})

test('a task that goes back, ends or is opened again has in its row what the change says', () => {
  const { tasks, attempts } = createStore(open())
  tasks.insert(task)
  const row = () => tasks.get('t-1')
  tasks.move(task, { to: 'in_progress', at: 10, ...attempt })
  expect(attempts.end(attempt, 'failed', 'node', 'broke', null, { now: 52, wall: 62_000 })).toBe(true)
  expect(attempts.allOpen()).toEqual([])
  expect(() => attempts.end(attempt, 'lost', 'node', null, null, now)).toThrow('no longer open')
  const ended = { ended_ms: 52, ended_at: 62, end: 'failed', fault: 'node', error: 'broke' }
  expect(attempts.history('t-1')).toMatchObject([ended])
  expect(attempts.ofTask('t-1')).toEqual([
    { attempt: 1, node_id: 'n-1', node_epoch: 5, end: 'failed', fault: 'node', ended_ms: 52, accepted_ms: null },
  ])
  tasks.move({ task_id: 't-1', status: 'in_progress' }, { to: 'pending', queue_rank: 13, at: 11 })
  const waiting = { ...task, ...unended, attempt: 1, queue_rank: 13, updated_at: 11 }
  expect(row()).toEqual(waiting)
  tasks.move({ task_id: 't-1', status: 'pending' }, { to: 'timeout', error: 'late', code: null, at: 12 })
  expect(row()).toEqual({ ...waiting, status: 'timeout', error: 'late', updated_at: 12 })
  const again = { after: 1, queued_ms: 15 }
  tasks.move({ task_id: 't-1', status: 'timeout' }, { to: 'pending', queue_rank: 14, at: 16, again })
  const reopened = { ...waiting, retried_after: 1, queued_ms: 15, queue_rank: 14, updated_at: 16 }
  expect(row()).toEqual(reopened)
  const late = { node_id: 'n-2', output: 'late out', confidence: 0.75, notes: '{}', at: 17 }
  tasks.move({ task_id: 't-1', status: 'pending' }, { to: 'completed', ...late })
  expect(row()).toEqual({
    ...reopened,
    status: 'completed',
    inference_node_id: 'n-2',
    output: 'late out',
    result_notes: '{}',
    confidence: 0.75,
    completed_at: 17,
    updated_at: 17,
  })
  expect(() =>
    tasks.move({ task_id: 't-1', status: 'pending' }, { to: 'failed', error: 'x', code: null, at: 1 }),
  ).toThrow('no longer pending')
})

/** What runs on a connection from now on: the statements with what they were given. */
function listen(db: Database) {
  const ran: { text: string; values: unknown[] }[] = []
  const prepare = db.prepare.bind(db)
  const watched = (text: string) => {
    const statement = prepare(text)
    for (const way of ['run', 'get', 'all'] as const) {
      const run = statement[way].bind(statement)
      Object.assign(statement, {
        [way]: (...values: unknown[]) => {
          ran.push({ text, values })
          return run(...values)
        },
      })
    }
    return statement
  }
  Object.assign(db, { prepare: watched })
  return {
    /** The plans of what a call runs. */
    plansOf(call: () => unknown): string[] {
      ran.length = 0
      call()
      return ran.splice(0).map(({ text, values }) =>
        prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${text}`)
          .all(...values)
          .map((step) => step.detail)
          .join('; '),
      )
    },
    textsOf(call: () => unknown): string[] {
      ran.length = 0
      call()
      return ran.splice(0).map(({ text }) => text)
    },
  }
}

test('every statement finds its rows by the index that was made for it', () => {
  const db = open()
  const { plansOf } = listen(db)
  const { tasks, attempts, nodes, history } = createStore(db)
  const second = { ...task, task_id: 't-2' }
  const moved = { ...second, status: 'in_progress' } as const
  const byId = 'SEARCH inference_tasks USING INDEX sqlite_autoindex_inference_tasks_1 (task_id=?)'
  const byPlace = 'SEARCH inference_tasks USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)'
  const byKey = 'SEARCH ended_attempts USING INDEX sqlite_autoindex_ended_attempts_1 (task_id=? AND attempt=?)'
  const ofTask = 'SEARCH ended_attempts USING INDEX sqlite_autoindex_ended_attempts_1 (task_id=?)'
  /** What has ended, and what is open. */
  const both = (ended: string) =>
    `CO-ROUTINE attempts; COMPOUND QUERY; LEFT-MOST SUBQUERY; ${ended}; UNION ALL; ${byId}; SCAN attempts`
  const sorted = (ended: string) => `${both(ended)}; USE TEMP B-TREE FOR ORDER BY`
  const third: OpenAttempt = { ...attempt, task_id: 't-3' }
  const ended = { ended_ms: null, ended_at: null, end: null, fault: null, ...unused }
  const nodeById = 'SEARCH inference_nodes USING INDEX sqlite_autoindex_inference_nodes_1 (node_id=?)'
  const nameById = 'SEARCH forgotten_nodes USING INDEX sqlite_autoindex_forgotten_nodes_1 (node_id=?)'
  const calls: [call: () => unknown, ...plans: string[]][] = [
    [() => tasks.get('t-1'), byId],
    [() => tasks.head('t-1'), byId],
    [() => tasks.result('t-1'), byId],
    [() => tasks.hasTexts('t-1', task), byId],
    [() => tasks.insert(task), ''],
    [() => tasks.insert(second), ''],
    [() => tasks.ready('name:name', null, 0), 'SEARCH inference_tasks USING INDEX tasks_by_model (model_key=?)'],
    [
      () => tasks.ready('name:name', { queue_rank: 9, seq: 0 }, 0),
      'SEARCH inference_tasks USING INDEX tasks_by_model (model_key=? AND queue_rank=? AND rowid>?)',
      'SEARCH inference_tasks USING INDEX tasks_by_model (model_key=? AND queue_rank<?)',
    ],
    [
      () => tasks.ready('family:family', { queue_rank: 9, seq: 0 }, 3),
      'SEARCH inference_tasks USING INDEX tasks_by_family (model_type=? AND queue_rank=? AND rowid>?)',
      'SEARCH inference_tasks USING INDEX tasks_by_family (model_type=? AND queue_rank<?)',
    ],
    [() => tasks.move(second, { to: 'in_progress', at: 10, ...attempt, task_id: 't-2' }), byId],
    [() => tasks.insert({ ...moved, task_id: 't-3', attempt: 1, inference_node_id: 'n-1' }, third), ''],
    [() => attempts.accept(third, now), byId],
    [() => attempts.handOut(third), byId],
    [() => attempts.end(third, 'lost', null, null, null, now), byId, ''],
    [() => attempts.complete({ ...ended, ...third, ended_ms: 1 }, null, null, now), byKey],
    [() => tasks.complete({ ...attempt, task_id: 't-2' }, { output: '', confidence: 1, notes: null }, 1), byId],
    [() => attempts.complete({ ...attempt, task_id: 't-2' }, null, null, now), ''],
    [() => attempts.get('t-1', 1), both(byKey)],
    [() => attempts.newestOf('t-1', 'n-1'), sorted(ofTask)],
    [() => attempts.ofTask('t-1'), sorted(ofTask)],
    [() => attempts.history('t-1'), sorted(ofTask)],
    [() => attempts.newest('t-1'), sorted(ofTask)],
    [() => attempts.completedOf('t-1'), both(ofTask)],
    [() => attempts.begun('t-1'), both(ofTask)],
    [
      () => attempts.leasesDue(10),
      'SEARCH inference_tasks USING INDEX tasks_in_progress (open_lease_ms>? AND open_lease_ms<?)',
    ],
    [() => attempts.nextLease(), 'SEARCH inference_tasks USING COVERING INDEX tasks_in_progress (open_lease_ms>?)'],
    [() => attempts.allOpen(), 'SEARCH inference_tasks USING INDEX tasks_in_progress (open_lease_ms>?)'],
    [
      () => attempts.openPerModel(),
      'SEARCH inference_tasks USING INDEX tasks_in_progress (open_lease_ms>?); USE TEMP B-TREE FOR GROUP BY',
    ],
    [() => attempts.latestOpen(), 'SEARCH inference_tasks USING INDEX tasks_in_progress (open_lease_ms>?)'],
    [
      () => attempts.extendLeases(10),
      'SEARCH inference_tasks USING INDEX tasks_in_progress (open_lease_ms>? AND open_lease_ms<?)',
    ],
    [() => attempts.recentDurations(), 'SCAN ended_attempts'],
    [() => tasks.oldestAfter(-1), 'SEARCH inference_tasks USING COVERING INDEX tasks_by_age (queued_ms>?)'],
    [() => tasks.waitingSince(0), 'SEARCH inference_tasks USING INDEX tasks_by_age (queued_ms<?)'],
    [
      () => tasks.unstarvedBetween(0, 1),
      'SEARCH inference_tasks USING INDEX tasks_by_age (queued_ms>? AND queued_ms<?)',
    ],
    [() => tasks.starve('t-1'), byId],
    [() => tasks.pendingPerUser(), 'SCAN inference_tasks USING INDEX tasks_by_age; USE TEMP B-TREE FOR GROUP BY'],
    [() => tasks.storedAfter(0), 'SEARCH inference_tasks USING INTEGER PRIMARY KEY (rowid>?)'],
    [
      () => history.ahead({ ...task, ...unended }, false),
      'CO-ROUTINE higher; SEARCH inference_tasks USING COVERING INDEX tasks_by_model (model_key=? AND queue_rank>?); SCAN higher',
      'SEARCH inference_tasks USING COVERING INDEX sqlite_autoindex_inference_tasks_1 (task_id=?)',
      'CO-ROUTINE older; SEARCH inference_tasks USING COVERING INDEX tasks_by_model (model_key=? AND queue_rank=? AND rowid<?); SCAN older',
    ],
    [() => history.reopenings('t-1'), 'SEARCH reopenings USING INDEX reopenings_of_task (task_id=?)'],
    [() => history.removeReopenings('t-1'), 'SEARCH reopenings USING INDEX reopenings_of_task (task_id=?)'],
    [
      () => tasks.move({ ...moved, status: 'pending', task_id: 't-1' }, { to: 'failed', error: '', code: null, at: 1 }),
      byId,
    ],
    [() => tasks.remove([{ task_id: 't-1', status: 'failed' }]), byId, byPlace, byId],
    [() => attempts.remove('t-1'), ofTask],
    [() => nodes.save(node), ''],
    [() => nodes.get('n-1'), nodeById],
    [() => nodes.forget('n-1'), nodeById],
    [() => nodes.nextEpoch(), ''],
    [
      () => nodes.keepName('n-1', 'key', 60, 50),
      'SEARCH forgotten_nodes USING INDEX forgotten_nodes_by_time (kept_until_ms<?)',
      '',
      'SEARCH forgotten_nodes USING COVERING INDEX sqlite_autoindex_forgotten_nodes_1 (node_id=?); LIST SUBQUERY 1; SCAN forgotten_nodes USING INDEX forgotten_nodes_by_time',
    ],
    [() => nodes.nameKeptFor('n-1', 50), nameById],
    [() => nodes.freeName('n-1'), nameById],
  ]
  for (const [call, ...plans] of calls)
    expect({ call: String(call), plans: plansOf(call) }).toEqual({ call: String(call), plans })
})

test('no statement binds its limit, or the status that a partial index is about: either costs a plan at every call', () => {
  const db = open()
  const { textsOf } = listen(db)
  const { tasks, attempts, history } = createStore(db)
  const texts = textsOf(() => {
    tasks.ready('name:llama', { queue_rank: 1, seq: 1 }, 1)
    tasks.oldestAfter(0)
    tasks.waitingSince(0)
    tasks.unstarvedBetween(0, 1)
    tasks.starve('t-1')
    tasks.pendingPerUser()
    tasks.storedAfter(0)
    attempts.newestOf('t-1', 'n-1')
    attempts.leasesDue(0)
    attempts.nextLease()
    attempts.recentDurations()
    history.ahead({ ...task, ...unended }, true)
  })
  expect(texts.length).toBeGreaterThan(12)
  expect(texts.filter((text) => /limit \?|"status" = \?/i.test(text))).toEqual([])
})

test('a property of the schema has the name of its column, which rows and lists of columns rely on', () => {
  const tables = Object.values<unknown>({ ...schema, ...attemptSchema }).filter((value) => is(value, SQLiteTable))
  expect(tables).toHaveLength(10)
  for (const table of tables) {
    for (const [property, column] of Object.entries(getTableColumns(table))) expect(column.name).toBe(property)
  }
})

test('a statement is rendered with its values as literals, and not with what nobody would bind', () => {
  const { task_id, fee } = schema.inferenceTasks
  expect(render(sql`SELECT ${fee} WHERE ${task_id} = ${"it's ?"} AND ${fee} < ${5} AND ${fee} > ?`)).toBe(
    `SELECT "inference_tasks"."fee" WHERE "inference_tasks"."task_id" = 'it''s ?' AND "inference_tasks"."fee" < 5 AND "inference_tasks"."fee" > ?`,
  )
  expect(() => render(sql`SELECT ${sql.placeholder('who')}`)).toThrow('placeholders')
})
