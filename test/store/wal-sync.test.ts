import { readFileSync, statSync, symlinkSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openDatabase } from '../../src/store/open.js'
import { Database } from '../../src/store/sqlite.js'
import { createWal, renewWal } from '../../src/store/wal.js'
import { createWalSync, type SyncError } from '../../src/store/wal-sync.js'
import { tempDir } from '../support/temp-dir.js'

/** A database with something in its log, whose syncs take `each` ms by the clock that they are measured with. */
function opened(each: number) {
  const { db, close } = openDatabase(join(tempDir(), 'inference.db'))
  onTestFinished(close)
  const failures: SyncError[] = []
  let looks = 0
  const sync = createWalSync(
    db,
    () => ++looks * each,
    (error) => failures.push(error),
  )
  const told: string[] = []
  return {
    db,
    sync,
    told,
    failures,
    /** How many syncs were begun and ended. */
    syncs: () => looks / 2,
    commit: (name: string, committed = true) =>
      sync.after(committed, ({ beside }) => told.push(`${name}${beside ? ' beside' : ''}`)),
  }
}

test('where the disk is quick each commit is synced at once, in the thread', async () => {
  const { commit, told, syncs, sync, db } = opened(0.3)
  for (const name of ['a', 'b', 'c']) commit(name)
  commit('nothing', false)
  expect(told).toEqual(['a', 'b', 'c', 'nothing'])
  expect(syncs()).toBe(3)
  await sync.close()
  expect(db.pragma('synchronous', { simple: true })).toBe(2)
})

test('where the disk is slow syncs run beside the thread: one at a time, each for all that was committed when it began, told in order', async () => {
  const { commit, told, syncs, sync } = opened(5)
  commit('measured')
  for (const name of ['a', 'b', 'c']) commit(name)
  commit('nothing', false)
  expect(told).toEqual(['measured'])
  await sync.close()
  expect(told).toEqual(['measured', 'a beside', 'b beside', 'c beside', 'nothing beside'])
  expect(syncs()).toBe(3) // "measured"; "a"; the others together
})

test('what is committed while it is told of a sync is told after all that the sync was for', async () => {
  const { commit, told, sync } = opened(5)
  commit('measured')
  sync.after(true, () => {
    commit('within')
    commit('nothing within', false)
    told.push('a')
  })
  commit('b')
  await sync.close()
  expect(told).toEqual(['measured', 'a', 'b beside', 'within beside', 'nothing within beside'])
})

test('what has written nothing waits for the sync that is on its way, and for no other', async () => {
  const { commit, told, syncs, sync } = opened(5)
  commit('measured')
  commit('a')
  commit('nothing', false)
  expect(told).toEqual(['measured'])
  await sync.close()
  expect(told).toEqual(['measured', 'a beside', 'nothing beside'])
  expect(syncs()).toBe(2)
})

test('a slow disk is measured again and again, so that one that has become quick is waited for in the thread', async () => {
  let each = 5
  let t = 0
  const { db, close } = openDatabase(join(tempDir(), 'inference.db'))
  onTestFinished(close)
  const sync = createWalSync(
    db,
    () => (t += each),
    () => undefined,
  )
  const next = () => new Promise<boolean>((resolve) => sync.after(true, ({ beside }) => resolve(beside)))
  const many = async (n: number) => {
    const ways = []
    for (let i = 0; i < n; i++) ways.push(await next())
    return ways
  }
  expect(await many(64)).toEqual([false, ...Array<boolean>(63).fill(true)])
  each = 0.1
  await many(64 * 12)
  expect(await many(10)).toEqual(Array<boolean>(10).fill(false))
  await sync.close()
})

test('the log that a killed service has left is written over itself, byte for byte', () => {
  const file = join(tempDir(), 'inference.db')
  const db = new Database(file)
  onTestFinished(() => void db.close())
  db.pragma('journal_mode = WAL')
  db.exec('CREATE TABLE t (text)')
  db.prepare('INSERT INTO t VALUES (?)').run('x'.repeat(3_000_000)) // more than one piece
  const log = `${file}-wal`
  const bytes = readFileSync(log)
  utimesSync(log, 1, 1)
  renewWal(db)
  expect(readFileSync(log).equals(bytes)).toBe(true)
  expect(statSync(log).mtimeMs).toBeGreaterThan(1000)
  db.exec("INSERT INTO t VALUES ('after')")
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
  expect(db.prepare('SELECT count(*) FROM t').pluck().get()).toBe(2)
})

test('the log of a database that a link leads to is beside the file itself', () => {
  const folder = tempDir()
  const link = join(tempDir(), 'inference.db')
  symlinkSync(join(folder, 'inference.db'), link)
  const { db, close } = openDatabase(link)
  onTestFinished(close)
  const { file, bytes } = createWal(db)
  expect(file).toBe(join(folder, 'inference.db-wal'))
  expect(bytes()).toBeGreaterThan(0)
})
