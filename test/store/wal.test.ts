import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { inspect, type Service, startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

const MIB = 1024 * 1024
const walSize = (service: Service): number => statSync(`${service.file}-wal`).size
const health = (service: Service) => service.get('/health')

/** Another program that reads the database and forgets to end its transaction. */
function forgetfulReader(file: string): Database {
  const db = new Database(file, { readonly: true })
  onTestFinished(() => void db.close())
  db.exec('BEGIN')
  db.prepare('SELECT count(*) FROM inference_tasks').get()
  return db
}

async function fill(service: Service, bytes: number, from: number): Promise<number> {
  const chunk = 64 * 1024
  let i = from
  for (let written = 0; written < bytes; written += chunk)
    expect(
      (await service.post('/api/v1/tasks/submit', task({ task_id: `t${i++}`, user_input: 'x'.repeat(chunk) }))).status,
    ).toBe(200)
  return i
}

test('while a foreign reader holds the log, health warns at half of max_wal_bytes, writes are refused above it, and it recovers when the reader is gone', async () => {
  const service = await startService({ max_wal_bytes: 6 * MIB })
  await service.submit({ task_id: 'first' })
  const reader = forgetfulReader(service.file)
  const next = await fill(service, 3 * MIB, 0)
  const warned = await until(async () => {
    const answer = await health(service)
    return (answer.body?.data as { warning?: string }).warning === undefined ? null : answer
  }, 'a warning')
  expect(warned).toMatchObject({
    status: 200,
    body: {
      success: true,
      data: { status: 'healthy', warning: expect.stringMatching(/another program.*max_wal_bytes/) },
    },
  })

  // As much as comes before the next look at the size is still taken.
  const refused = await until(async () => {
    const answer = await service.post('/api/v1/tasks/submit', task({ user_input: 'x'.repeat(MIB / 4) }))
    return answer.status === 200 ? null : answer
  }, 'a refusal')
  expect(refused).toMatchObject({
    status: 503,
    body: { code: 'unavailable', error: expect.stringContaining('write-ahead log') },
  })
  expect(refused.body?.error).not.toContain(service.file)
  expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
  expect(await health(service)).toMatchObject({ status: 503, body: { data: { status: 'unhealthy' } } })
  expect(await service.status('first')).toMatchObject({ status: 'pending' })
  expect(walSize(service)).toBeGreaterThan(4 * MIB)

  reader.exec('COMMIT')
  const well = await until(async () => {
    const answer = await health(service)
    return answer.status === 200 ? answer : null
  }, 'the recovery')
  expect(well.body?.data).toEqual({ status: 'healthy', timestamp: expect.any(Number) })
  expect(walSize(service)).toBeLessThan(MIB)
  await fill(service, 1, next)
  await service.stop()
  expect(checkDatabase(service.file).filter((f) => !f.ok)).toEqual([])
})

test('without a foreign reader the log stays small by itself, and health has no warning', async () => {
  const service = await startService({ max_wal_bytes: 64 * MIB })
  await fill(service, 24 * MIB, 0)
  expect(walSize(service)).toBeLessThan(16 * MIB)
  expect((await health(service)).body?.data).toEqual({ status: 'healthy', timestamp: expect.any(Number) })
})

test('an adopted file is made to give room back, and keeps the order of its rows', async () => {
  const file = join(tempDir(), 'inference_tasks.db')
  const db = new Database(file)
  db.exec(`CREATE TABLE inference_tasks (task_id TEXT PRIMARY KEY, user_address TEXT NOT NULL, user_input TEXT NOT NULL, context TEXT NOT NULL, fee INTEGER NOT NULL,
      nonce INTEGER NOT NULL, infer_fee INTEGER NOT NULL, max_infer_time INTEGER NOT NULL, model_type TEXT NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL,
      updated_at INTEGER NOT NULL, output TEXT, confidence REAL, completed_at INTEGER, inference_node_id TEXT);
    CREATE TABLE inference_nodes (node_id TEXT PRIMARY KEY, address TEXT, endpoint TEXT NOT NULL, public_key TEXT NOT NULL, status TEXT NOT NULL,
      supported_models TEXT NOT NULL, performance_score REAL NOT NULL, last_heartbeat INTEGER NOT NULL)`)
  const names = ['z', 'a', 'm', 'gone', 'b']
  for (const name of names)
    db.prepare(
      "INSERT INTO inference_tasks VALUES (?, 'ST1', 'hi', '', 0, 0, 1, 60, 'llama', 'pending', 1700000000, 1700000000, NULL, NULL, NULL, NULL)",
    ).run(name)
  db.exec("DELETE FROM inference_tasks WHERE task_id = 'gone'")
  expect(db.pragma('auto_vacuum', { simple: true })).toBe(0)
  db.close()
  const service = await startService({ database_path: file })
  await service.stop()
  inspect(file, (adopted) => {
    expect(adopted.pragma('auto_vacuum', { simple: true })).toBe(2)
    expect(
      adopted
        .prepare<[], { task_id: string }>('SELECT task_id FROM inference_tasks ORDER BY rowid')
        .all()
        .map((r) => r.task_id),
    ).toEqual(['z', 'a', 'm', 'b'])
  })
})
