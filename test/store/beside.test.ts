import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openBeside, readBeside, type Beside } from '../../src/store/beside.js'
import { acquireLock, openDatabase, StoreError } from '../../src/store/open.js'
import { Database } from '../../src/store/sqlite.js'
import { formerFile } from '../support/former-file.js'
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

/** A file of an older version: its six newest migrations have not been made. */
const olderFile = (): string => formerFile(4, '')

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
