import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readForDamage } from '../../src/store/maintenance/intact.js'
import { openDatabase, StoreError } from '../../src/store/open.js'
import { taskStatuses } from '../../src/rules/lifecycle.js'
import { connectNode } from '../support/node-session.js'
import { inspect, startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { Database } from '../../src/store/sqlite.js'

function opened(file = join(tempDir(), 'inference.db')) {
  const database = openDatabase(file)
  onTestFinished(() => void (database.db.open && database.close()))
  return database
}

test('a large file gets more memory for its pages than a small one', () => {
  const file = join(tempDir(), 'inference.db')
  const cacheOf = (): number => {
    const { db, close } = openDatabase(file)
    const size = Number(db.pragma('cache_size', { simple: true }))
    close()
    return size
  }
  const pretend = (bytes: number): void => {
    // The header says how many pages there are; those behind the real ones are a hole in the file.
    const pages = Buffer.alloc(4)
    pages.writeUInt32BE(bytes / 4096)
    const fd = openSync(file, 'r+')
    writeSync(fd, pages, 0, 4, 28)
    ftruncateSync(fd, bytes)
    closeSync(fd)
  }
  expect(cacheOf()).toBe(-16_384)
  pretend(4 * 1024 ** 3 - 4096)
  expect(cacheOf()).toBe(-16_384)
  pretend(4 * 1024 ** 3)
  expect(cacheOf()).toBe(-65_536)
})

test('the database is in WAL mode and fully synchronous, also after the first write', () => {
  const { db } = opened()
  db.exec("INSERT INTO task_counts VALUES ('pending', 0)")
  expect(db.pragma('journal_mode', { simple: true })).toBe('wal')
  expect(db.pragma('synchronous', { simple: true })).toBe(2)
  expect(db.pragma('auto_vacuum', { simple: true })).toBe(2)
})

test('the tables and columns that others rely on have their names', () => {
  const { db } = opened()
  const columns = (table: string) =>
    db
      .prepare<[string], { name: string }>('SELECT name FROM pragma_table_info(?)')
      .all(table)
      .map((c) => c.name)
  expect(columns('inference_tasks')).toEqual(
    expect.arrayContaining([
      'task_id',
      'user_address',
      'user_input',
      'context',
      'fee',
      'nonce',
      'infer_fee',
      'max_infer_time',
      'model_type',
      'status',
      'created_at',
      'updated_at',
      'output',
      'confidence',
      'completed_at',
      'inference_node_id',
    ]),
  )
  expect(columns('inference_nodes')).toEqual(
    expect.arrayContaining([
      'node_id',
      'endpoint',
      'public_key',
      'status',
      'supported_models',
      'performance_score',
      'last_heartbeat',
    ]),
  )
})

test('the database itself refuses a status that is not in the lifecycle table from any other program, and finds one that is there', () => {
  const file = join(tempDir(), 'inference.db')
  const own = opened(file)
  const db = new Database(file)
  onTestFinished(() => void db.close())
  const sql =
    db.prepare<[], { sql: string }>("SELECT sql FROM sqlite_schema WHERE name = 'inference_tasks'").get()?.sql ?? ''
  for (const status of taskStatuses) expect(sql).toContain(`'${status}'`)
  const insert =
    "INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type, model_name, model_key, status, created_at, updated_at, queued_ms, queue_rank) VALUES ('t','u','','',0,0,0,1,'llama','llama','llama','cancelled',0,0,0,0)"
  expect(() => db.exec(insert)).toThrow(/CHECK/)
  own.db.exec(insert)
  expect(db.pragma('integrity_check', { simple: true })).toMatch(/CHECK constraint failed in inference_tasks/)
  expect(readForDamage(file)).toBeNull() // a file is not set aside for that
})

test('opening again changes nothing, and a database of a newer version is refused and left alone', () => {
  const file = join(tempDir(), 'inference.db')
  opened(file).close()
  opened(file).close()
  const db = new Database(file)
  db.prepare("INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('from the future', ?)").run(Date.now() + 1e9)
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
  const before = readFileSync(file)
  expect(() => openDatabase(file)).toThrow(StoreError)
  expect(() => openDatabase(file)).toThrow(/newer version/)
  expect(readFileSync(file).equals(before)).toBe(true)
})

test('a damaged database is refused with a sentence that says so', () => {
  const file = join(tempDir(), 'inference.db')
  opened(file).close()
  const bytes = readFileSync(file)
  bytes.fill(0x5a, 100, 4096)
  writeFileSync(file, bytes)
  expect(() => openDatabase(file)).toThrow(/damaged|cannot be opened/)
})

/** A file as the original service left it: two tables, no migrations, times in seconds. */
function originalFile(): string {
  const file = join(tempDir(), 'inference_tasks.db')
  const db = new Database(file)
  db.exec(`
    CREATE TABLE inference_tasks (task_id TEXT PRIMARY KEY, user_address TEXT NOT NULL, user_input TEXT NOT NULL, context TEXT NOT NULL, fee INTEGER NOT NULL,
      nonce INTEGER NOT NULL, infer_fee INTEGER NOT NULL, max_infer_time INTEGER NOT NULL, model_type TEXT NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL,
      updated_at INTEGER NOT NULL, output TEXT, confidence REAL, completed_at INTEGER, inference_node_id TEXT);
    CREATE INDEX tasks_by_age ON inference_tasks (created_at);
    CREATE TABLE inference_nodes (node_id TEXT PRIMARY KEY, address TEXT, endpoint TEXT NOT NULL, public_key TEXT NOT NULL, status TEXT NOT NULL,
      supported_models TEXT NOT NULL, performance_score REAL NOT NULL, last_heartbeat INTEGER NOT NULL)`)
  const add = db.prepare('INSERT INTO inference_tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const row = (id: string, model: string, status: string, more: unknown[] = [null, null, null, null]) =>
    add.run(
      id,
      'ST1USER',
      `question ${id} ✓`,
      'ctx',
      180,
      7,
      2500,
      300,
      model,
      status,
      1_700_000_000,
      1_700_000_100,
      ...more,
    )
  row('waiting', 'llama', 'pending')
  row('was-running', 'deepseek', 'in_progress', [null, null, null, 'node-001'])
  row('unknown-waiting', 'unknown', 'pending')
  row('unknown-running', 'unknown', 'in_progress', [null, null, null, 'node-001'])
  row('done', 'mistral', 'completed', ['the answer', 0.85, 1_700_000_090, 'node-001'])
  row('sent', 'unknown', 'submitted', ['sent on', 0.5, 1_700_000_080, 'node-001'])
  row('broken', 'gemma', 'failed')
  row('late', 'gptneox', 'timeout')
  const node = db.prepare('INSERT INTO inference_nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
  node.run(
    'node-001',
    'ST2NODE',
    'http://10.0.0.1:5000',
    'placeholder-key',
    'online',
    '[{"Llama":"llama-3"},{"DeepSeek":"deepseek-r1"},{"Unknown":null}]',
    0.95,
    1_700_000_050,
  )
  node.run('node-002', null, 'http://10.0.0.2:5000', 'other-key', 'sleeping', 'not json', 1.5, 1_700_000_050)
  db.close()
  return file
}

test('a file of the original service is adopted: every row is kept, what ran waits again, what nobody can serve is failed', async () => {
  const file = originalFile()
  const service = await startService({ database_path: file })
  expect(await service.status('waiting')).toMatchObject({
    status: 'pending',
    user_input: 'question waiting ✓',
    context: 'ctx',
    fee: 180,
    nonce: 7,
    infer_fee: 2500,
    max_infer_time: 300,
    model_type: 'llama',
    model_name: 'llama',
    created_at: 1_700_000_000,
  })
  expect(await service.status('was-running')).toMatchObject({ status: 'pending', attempts: 0 })
  for (const id of ['unknown-waiting', 'unknown-running'])
    expect(await service.status(id)).toMatchObject({ status: 'failed', error: expect.stringContaining('unknown') })
  expect(await service.status('done')).toMatchObject({
    status: 'completed',
    result: { output: 'the answer', confidence: 0.85, completed_at: 1_700_000_090, inference_node_id: 'node-001' },
  })
  expect(await service.status('sent')).toMatchObject({ status: 'submitted', result: { output: 'sent on' } })
  expect(await service.status('broken')).toMatchObject({ status: 'failed', error: null })
  expect(await service.status('late')).toMatchObject({ status: 'timeout' })
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
    total_tasks: 8,
    pending_tasks: 2,
    processing_tasks: 0,
    completed_tasks: 1,
    submitted_tasks: 1,
    failed_tasks: 3,
    timeout_tasks: 1,
    total_nodes: 2,
  })
  const nodes = (await service.get('/api/v1/nodes')).body?.data as unknown[]
  expect(nodes).toContainEqual(
    expect.objectContaining({
      node_id: 'node-001',
      node_address: 'ST2NODE',
      endpoint: 'http://10.0.0.1:5000',
      public_key: 'placeholder-key',
      supported_models: ['llama-3', 'deepseek-r1', 'unknown'],
      performance_score: 0.95,
      last_heartbeat: 1_700_000_050,
      status: 'offline',
      transport: 'rest',
    }),
  )
  expect(nodes).toContainEqual(
    expect.objectContaining({ node_id: 'node-002', supported_models: [], performance_score: 1, status: 'offline' }),
  )
  // The adopted queue and the adopted node work: its next call brings it back.
  expect(await service.poll('node-001')).toMatchObject({ task_id: 'waiting' })
  const other = await connectNode(service, 'new-node', { supported_models: ['deepseek'] })
  expect(await other.next('task.assign')).toMatchObject({ task_id: 'was-running', attempt: 1 })
  await service.stop()
  inspect(file, (db) => {
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
    expect(db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'original%'").all()).toEqual(
      [],
    )
  })
})

test('an adoption that was cut off after its first half is finished at the next start', () => {
  const file = originalFile()
  const db = new Database(file)
  db.exec(
    'DROP INDEX tasks_by_age; ALTER TABLE inference_tasks RENAME TO original_tasks; ALTER TABLE inference_nodes RENAME TO original_nodes',
  )
  db.close()
  const { adopted } = opened(file)
  expect(adopted).toEqual({ tasks: 8, nodes: 2, requeued: 2, failed: 2 })
})
