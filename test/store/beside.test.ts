import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openBeside, readBeside, type Beside } from '../../src/store/beside.js'
import { acquireLock, openDatabase, StoreError } from '../../src/store/open.js'
import { Database } from '../../src/store/sqlite.js'
import { inspect, startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

const by = { actor: 'cli:me', address: null, request_id: null, at_ms: 1_800_000_000_000 }

function beside(file: string, open: (file: string) => Beside = openBeside): Beside {
  const opened = open(file)
  onTestFinished(() => opened.close())
  return opened
}
const addRow = ({ access, transaction }: Beside, subject = 'n') =>
  transaction(() => access.audit.append({ action: 'node.drained', subject, detail: {} }, by))

/** A file whose newest migration has not been made. */
function olderFile(file = join(tempDir(), 'inference.db')): string {
  openDatabase(file).close()
  const db = new Database(file)
  db.exec(`
    DELETE FROM __drizzle_migrations WHERE created_at IN
      (SELECT created_at FROM __drizzle_migrations ORDER BY created_at DESC LIMIT 6);
    ALTER TABLE inference_tasks DROP COLUMN traceparent;
    ALTER TABLE attempts DROP COLUMN first_word_ms; DROP TABLE clock_offsets;
    DROP TABLE callbacks; DROP TABLE callback_hosts; DROP TABLE callback_counts;
    DROP TABLE settlements; DROP TABLE settlement_intake; DROP TABLE settlement_counts; DROP TABLE settlement_sightings; DROP TABLE chain_blocks;
    DROP TABLE payee_delegations; DROP TABLE result_keys; DROP TABLE result_signatures;
    DROP INDEX tasks_by_payment; DROP INDEX tasks_by_txid; ALTER TABLE inference_tasks DROP COLUMN paid_nonce;
    ALTER TABLE inference_tasks DROP COLUMN holds_payment;
    DROP TABLE tokens; DROP TABLE node_keys; DROP TABLE audit; DROP TABLE quota_days; DROP TABLE data_keys;
    DROP INDEX tasks_to_join; ALTER TABLE inference_tasks DROP COLUMN params;
    ALTER TABLE inference_tasks DROP COLUMN needs; ALTER TABLE inference_tasks DROP COLUMN result_notes;
    ALTER TABLE inference_tasks DROP COLUMN error_code; ALTER TABLE inference_tasks DROP COLUMN join_key;
    DROP INDEX tasks_of_owner; ALTER TABLE inference_tasks DROP COLUMN owner_id;
    ALTER TABLE inference_tasks DROP COLUMN is_encrypted; ALTER TABLE inference_tasks DROP COLUMN text_keys;
    ALTER TABLE inference_tasks DROP COLUMN texts_digest`)
  db.close()
  return file
}

describe('before the first start of a service', () => {
  test('a file that is not there is made, and the service starts on it', async () => {
    const file = join(tempDir(), 'new', 'inference.db')
    const opened = openBeside(file)
    addRow(opened)
    opened.close()
    const service = await startService({ database_path: file })
    expect((await service.get('/api/v1/stats')).status).toBe(200)
    expect(beside(file, readBeside).access.audit.head().seq).toBe(1)
  })

  test('a file of an older version is upgraded, with what is in it', () => {
    const opened = beside(olderFile())
    addRow(opened)
    expect(opened.access.audit.verify().fault).toBe(null)
  })

  test('to look at one makes nothing and upgrades nothing', () => {
    const file = join(tempDir(), 'inference.db')
    expect(() => readBeside(file)).toThrow(`${file}: there is no such database`)
    expect(existsSync(file)).toBe(false)
    const older = olderFile()
    const before = readFileSync(older)
    expect(() => readBeside(older)).toThrow('of an older version; start the service on it once')
    expect(readFileSync(older).equals(before)).toBe(true)
  })
})

describe('while a service runs', () => {
  test('a change is written and durable, and the service goes on', async () => {
    const service = await startService()
    await service.submit({ task_id: 'a' })
    const opened = beside(service.file)
    addRow(opened)
    await service.submit({ task_id: 'b' })
    addRow(opened)
    expect(await service.status('b')).toMatchObject({ status: 'pending' })
    expect(beside(service.file, readBeside).access.audit.verify()).toMatchObject({ head: { seq: 2 }, fault: null })
  })

  test("a change leaves the service's write-ahead log to the service", async () => {
    const service = await startService()
    await service.submit()
    const log = `${service.file}-wal`
    const opened = beside(service.file)
    addRow(opened)
    const size = statSync(log).size
    for (let i = 0; i < 20; i++) addRow(opened)
    expect(statSync(log).size).toBeGreaterThan(size)
    opened.close()
    expect(statSync(log).size).toBeGreaterThan(size)
  })

  test('a change that is refused or fails leaves nothing behind', async () => {
    const service = await startService()
    const opened = beside(service.file)
    expect(() =>
      opened.transaction(() => {
        opened.access.audit.append({ action: 'node.drained', subject: 'n', detail: {} }, by)
        throw new Error('half way')
      }),
    ).toThrow('half way')
    expect(opened.access.audit.head().seq).toBe(0)
  })

  test('a file of an older version that somebody holds is refused with what to do', () => {
    const file = olderFile()
    const held = acquireLock(file)
    onTestFinished(() => void held.close())
    expect(() => openBeside(file)).toThrow(StoreError)
    expect(() => openBeside(file)).toThrow(
      /a service of an older version runs on this database, or one is just starting/,
    )
  })
})

test('a database of a newer version is refused and left alone', () => {
  const file = join(tempDir(), 'inference.db')
  openDatabase(file).close()
  const db = new Database(file)
  db.prepare("INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('from the future', ?)").run(Date.now() + 1e9)
  db.close()
  for (const open of [openBeside, readBeside]) expect(() => open(file)).toThrow(/newer version/)
})

test('what is no database of this service is refused, and a backup is taken', () => {
  const file = join(tempDir(), 'other.db')
  const other = new Database(file)
  other.exec('CREATE TABLE a (b)')
  other.close()
  expect(() => readBeside(file)).toThrow('not a database of this service')

  const backup = join(tempDir(), 'backup.db')
  openDatabase(backup).close()
  const db = new Database(backup)
  db.pragma('journal_mode = DELETE')
  db.close()
  expect(beside(backup, readBeside).access.audit.verify().fault).toBe(null)
  expect(existsSync(`${backup}-wal`)).toBe(false)
  addRow(beside(backup))
  expect(inspect(backup, (d) => d.prepare('SELECT count(*) AS n FROM audit').get())).toEqual({ n: 1 })
})
