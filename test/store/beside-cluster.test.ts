import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openBeside, readBeside, type Beside } from '../../src/store/beside.js'
import { createJournalTables } from '../../src/store/journal.js'
import { acquireLock, openDatabase } from '../../src/store/open.js'
import { Database } from '../../src/store/sqlite.js'
import { FIRST_EPOCH, journalCopy } from '../support/journal-copy.js'
import { tempDir } from '../support/temp-dir.js'

const by = { actor: 'cli:me', address: null, request_id: null, at_ms: 1_800_000_000_000 }
const allow = ({ access, transaction }: Beside, key = '02'.repeat(33)) => transaction(() => access.allowKey(key, 1, by))

/** A database of a cluster, with a copy that follows it. */
function clustered(role: 'owner' | 'follower' = 'owner', owner_url = 'https://c1.example.org') {
  const file = join(tempDir(), 'inference.db')
  openDatabase(file).close()
  const db = new Database(file)
  onTestFinished(() => void db.close())
  const copy = journalCopy(db)
  const tables = createJournalTables(db)
  tables.writeState({ journal_id: 'test', role, owner_url, stored_n: 1, stored_seq: 1 })
  const beside = (open: (file: string) => Beside = openBeside): Beside => {
    const opened = open(file)
    onTestFinished(() => opened.close())
    return opened
  }
  return { file, db, copy, tables, beside }
}

describe('on the file of an owner', () => {
  test('what a command changes is one record of its journal, and the same at who follows', () => {
    const { db, copy, tables, beside } = clustered()
    const opened = beside()
    allow(opened)
    opened.transaction(() => opened.access.audit.append({ action: 'node.drained', subject: 'n', detail: {} }, by))
    expect(tables.newest()).toEqual({ n: 3, epoch: FIRST_EPOCH })
    copy.follow(db)
    copy.endsLike(db)
  })

  test('what is refused or fails is in no record, and not in the next one', () => {
    const { db, copy, tables, beside } = clustered()
    const opened = beside()
    expect(opened.transaction(() => opened.access.revokeToken('none', by))).toMatchObject({ ok: false })
    expect(() =>
      opened.transaction(() => {
        opened.access.audit.append({ action: 'node.drained', subject: 'n', detail: {} }, by)
        throw new Error('no')
      }),
    ).toThrow('no')
    expect(tables.newest().n).toBe(1)
    allow(opened)
    expect(tables.newest().n).toBe(2)
    copy.follow(db)
    copy.endsLike(db)
  })

  test('a command waits until the running service has the log store it', async () => {
    const { file, tables, beside } = clustered()
    const lock = acquireLock(file)
    onTestFinished(() => void lock.close())
    const opened = beside()
    expect(await opened.inLog()).toBe(null)
    allow(opened)
    let told = false
    const stored = opened.inLog().then((warning) => {
      told = true
      return warning
    })
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(told).toBe(false)
    tables.markStored(2, 2)
    expect(await stored).toBe(null)
  })

  test('it says so when the log does not have it in time, and when no service runs', async () => {
    const { file, beside } = clustered()
    const opened = beside()
    allow(opened)
    expect(await opened.inLog()).toContain('no service runs here')
    const lock = acquireLock(file)
    onTestFinished(() => void lock.close())
    expect(await opened.inLog()).toContain('did not have it after 5 s')
  }, 20_000)

  test('a file of an older version is left to the owner to upgrade', () => {
    const { db, beside } = clustered()
    db.exec('DELETE FROM __drizzle_migrations WHERE created_at = (SELECT max(created_at) FROM __drizzle_migrations)')
    expect(() => beside()).toThrow('start the service on it once')
  })
})

describe('on the file of a follower', () => {
  test('a change is refused with who owns the work; to look is allowed', () => {
    const { tables, beside } = clustered('follower')
    expect(() => beside()).toThrow('the owner, https://c1.example.org')
    expect(beside(readBeside).access.audit.head().seq).toBe(0)
    expect(tables.newest().n).toBe(1)
  })

  test('a change is refused too when it follows since the command has opened it', () => {
    const { tables, beside } = clustered()
    const opened = beside()
    tables.writeState({ journal_id: 'test', role: 'follower', owner_url: '', stored_n: 1, stored_seq: 1 })
    expect(() => allow(opened)).toThrow('run the command on the machine of the owner, or ask')
    expect(tables.newest().n).toBe(1)
  })
})

test('a file of no cluster has no records', async () => {
  const file = join(tempDir(), 'inference.db')
  const opened = openBeside(file)
  onTestFinished(() => opened.close())
  allow(opened)
  const db = new Database(file, { readonly: true })
  onTestFinished(() => void db.close())
  expect([createJournalTables(db).newest().n, await opened.inLog()]).toEqual([0, null])
})
