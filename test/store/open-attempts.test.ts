import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { openDatabase } from '../../src/store/open.js'
import { createStore } from '../../src/store/store.js'
import type { Database } from '../../src/store/sqlite.js'
import { formerFile, inFile, migrations } from '../support/former-file.js'
import { detailOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

// An open attempt is columns of its task, and gets a row when it ends. Before, it had a row from its beginning.

/** So many migrations the version knew in which every attempt had a row. */
const WITH_ROWS = 10
/** From the newest version back to that one, migration by migration. */
const back = ['0014_owner_runs', '0013_owner_key', '0012_owner_index', '0011_journal', '0010_open_attempts'].map(
  (name) => readFileSync(join(migrations, 'back', `${name}.sql`), 'utf8'),
)

const task = (id: string, status: string, attempt: number, node: string | null, output: string | null = null) =>
  `INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type, model_name, model_key, status, attempt, created_at, updated_at, queued_ms, queue_rank, inference_node_id, output)
   VALUES ('${id}', 'u', 'x', '', 0, 0, 1, 60, 'llama', 'llama', 'llama', '${status}', ${attempt}, 1700000000, 1700000000, 1000, 1, ${node === null ? 'NULL' : `'${node}'`}, ${output === null ? 'NULL' : `'${output}'`});`
const attempt = (id: string, n: number, node: string, accepted: number | null, end: string | null) =>
  `INSERT INTO attempts (task_id, attempt, node_id, polled, handouts, assigned_ms, accepted_ms, lease_ms, assigned_at, accepted_at, ended_ms, ended_at, end, node_epoch)
   VALUES ('${id}', ${n}, '${node}', 1, 2, 2000, ${accepted}, 62000, 1700000001, ${accepted === null ? 'NULL' : 1700000002}, ${end === null ? 'NULL, NULL, NULL' : `4000, 1700000003, '${end}'`}, 3);`
const node = (id: string) =>
  `INSERT INTO inference_nodes (node_id, endpoint, public_key, key_proven, status, supported_models, performance_score, max_concurrent_tasks, transport, last_heartbeat, last_seen_ms, epoch)
   VALUES ('${id}', '', 'k-${id}', 0, 'online', '["llama"]', 1, 4, 'rest', 1700000000, 1000, 3);`

const stored = [
  node('n1'),
  node('n2'),
  task('offered', 'in_progress', 1, 'n1'),
  attempt('offered', 1, 'n1', null, null),
  task('running', 'in_progress', 2, 'n2'),
  attempt('running', 1, 'n1', 2500, 'failed'),
  attempt('running', 2, 'n2', 3000, null),
  task('waiting', 'pending', 1, null),
  attempt('waiting', 1, 'n1', null, 'rejected'),
  task('new', 'pending', 0, null),
  task('done', 'completed', 1, 'n1', 'Paris'),
  attempt('done', 1, 'n1', 3000, 'completed'),
  "INSERT INTO task_counts (status, tasks) VALUES ('in_progress', 2), ('pending', 2), ('completed', 1);",
  'INSERT INTO service_clock (id, alive_ms, alive_at) VALUES (1, 10000, 1700000010);',
].join('\n')

const all = (db: Database) => db.prepare('SELECT * FROM attempts ORDER BY task_id, attempt').all()
const upgrade = (file: string) => openDatabase(file).close()
const wrong = (file: string) => checkDatabase(file).filter((f) => !f.ok)

test('a file of the version before is upgraded: what is open stands in its task, and every attempt is what it was', () => {
  const file = formerFile(WITH_ROWS, stored)
  const before = inFile(file, all)
  expect(before).toHaveLength(5)
  upgrade(file)
  expect(wrong(file)).toEqual([])
  expect(inFile(file, all)).toEqual(before)
  const { db, close } = openDatabase(file)
  onTestFinished(close)
  expect(db.prepare('SELECT task_id, attempt FROM ended_attempts ORDER BY task_id').all()).toEqual([
    { task_id: 'done', attempt: 1 },
    { task_id: 'running', attempt: 1 },
    { task_id: 'waiting', attempt: 1 },
  ])
  const { attempts } = createStore(db)
  const given = {
    polled: 1,
    handouts: 2,
    assigned_ms: 2000,
    lease_ms: 62_000,
    assigned_at: 1_700_000_001,
    node_epoch: 3,
  }
  expect(attempts.allOpen().sort((a, b) => (a.task_id < b.task_id ? -1 : 1))).toEqual([
    { task_id: 'offered', attempt: 1, node_id: 'n1', accepted_ms: null, accepted_at: null, ...given },
    { task_id: 'running', attempt: 2, node_id: 'n2', accepted_ms: 3000, accepted_at: 1_700_000_002, ...given },
  ])
})

test('what was open before an upgrade is completed after it', async () => {
  const service = await startService({ database_path: formerFile(WITH_ROWS, stored), max_queue_time: 0 })
  const answer = await service.post('/api/v1/tasks/complete', {
    task_id: 'running',
    inference_node_id: 'n2',
    output: 'Rome',
    confidence: 1,
  })
  expect(answer.status).toBe(200)
  expect((await detailOf(service, 'running')).attempts).toMatchObject([
    { attempt: 1, node_id: 'n1', end: 'failed' },
    { attempt: 2, node_id: 'n2', end: 'completed', assigned_at: 1_700_000_001, accepted_at: 1_700_000_002 },
  ])
  await service.stop()
  expect(wrong(service.file)).toEqual([])
})

test('an open attempt whose task is not in progress with it is ended by the upgrade', () => {
  const odd = [
    task('ended', 'failed', 1, null),
    attempt('ended', 1, 'n1', null, null),
    attempt('nobody', 1, 'n1', 3000, null),
    task('elsewhere', 'in_progress', 1, 'n2'),
    attempt('elsewhere', 1, 'n1', 3000, null),
  ]
  const file = formerFile(WITH_ROWS, [stored, ...odd].join('\n'))
  upgrade(file)
  const found = inFile(file, (db) =>
    db.prepare("SELECT task_id, ended_ms, ended_at FROM attempts WHERE end = 'superseded' ORDER BY task_id").all(),
  )
  const now = { ended_ms: 10_000, ended_at: 1_700_000_010 }
  expect(found).toEqual(['elsewhere', 'ended', 'nobody'].map((task_id) => ({ task_id, ...now })))
})

test('a file goes back to the version before, and forth again, and nothing of it is changed by that', () => {
  const schemaOf = (db: Database) =>
    db
      .prepare<[], { name: string; sql: string | null }>(
        "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
      )
      .all()
      .map(({ name, sql }) => ({ name, sql: sql?.replaceAll(/[`"]/g, '').replaceAll(/\s+/g, ' ').toLowerCase() }))
  const rowsOf = (db: Database) => ({
    attempts: all(db),
    tasks: db.prepare('SELECT rowid, * FROM inference_tasks').all(),
    migrations: db.prepare('SELECT count(*) FROM __drizzle_migrations').pluck().get(),
  })
  const file = formerFile(WITH_ROWS, stored)
  const former = inFile(file, (db) => ({ schema: schemaOf(db), rows: rowsOf(db) }))
  upgrade(file)
  const upgraded = inFile(file, rowsOf)
  for (const one of back) inFile(file, (db) => db.exec(one))
  expect(inFile(file, (db) => ({ schema: schemaOf(db), rows: rowsOf(db) }))).toEqual(former)
  upgrade(file)
  expect(inFile(file, rowsOf)).toEqual(upgraded)
  expect(wrong(file)).toEqual([])
})

test('accepting a task with long texts does not write the texts again', () => {
  const file = join(tempDir(), 'inference.db')
  const { db, close } = openDatabase(file)
  onTestFinished(close)
  db.exec(`${node('n1')} ${task('long', 'pending', 0, null)}`)
  db.prepare('UPDATE inference_tasks SET user_input = ?').run('x'.repeat(1_000_000))
  const { tasks, attempts } = createStore(db)
  const now = Date.now()
  const open = {
    task_id: 'long',
    attempt: 1,
    node_id: 'n1',
    polled: 0,
    handouts: 0,
    assigned_ms: now,
    accepted_ms: null,
    lease_ms: now + 60_000,
    assigned_at: Math.floor(now / 1000),
    accepted_at: null,
    node_epoch: 3,
  }
  tasks.move({ task_id: 'long', status: 'pending' }, { to: 'in_progress', at: open.assigned_at, ...open })
  db.pragma('wal_checkpoint(TRUNCATE)')
  attempts.accept(open, { now: now + 300, wall: now + 300 })
  expect(attempts.allOpen()).toMatchObject([{ accepted_ms: now + 300 }])
  expect(statSync(`${file}-wal`).size).toBeLessThan(20_000)
})
