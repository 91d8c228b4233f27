import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { Database } from '../../src/store/sqlite.js'
import { cli, configFile } from '../support/child.js'
import { tempDir } from '../support/temp-dir.js'

const require = createRequire(import.meta.url)
const CHOICE = new URL('../../dist/store/sqlite.js', import.meta.url).href

/** A file with three rows, in WAL mode. */
function threeRows(file = join(tempDir(), 'rows.db')): Database {
  const db = new Database(file)
  onTestFinished(() => void db.close())
  db.pragma('journal_mode = WAL')
  db.exec("CREATE TABLE rows (id INTEGER PRIMARY KEY, word TEXT UNIQUE); INSERT INTO rows VALUES (1, 'a'), (2, 'b')")
  db.prepare<[string]>('INSERT INTO rows (word) VALUES (?)').run('c')
  return db
}
const count = (db: Database) => db.prepare<[], { n: number }>('SELECT count(*) AS n FROM rows').get()?.n

test('better-sqlite3 13 is chosen where Node-API 10 is, 12 elsewhere', () => {
  const chosen: unknown = require(Number(process.versions.napi) >= 10 ? 'better-sqlite3' : 'sqlite-node20')
  expect(Database).toBe(chosen)
})

test('npm compiles nothing for better-sqlite3 13: in the lock file it misses what the package itself says', () => {
  const lock = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')) as {
    packages: Record<string, { gypfile?: boolean }>
  }
  const hint = 'npm install drops it: put "gypfile": false back into node_modules/better-sqlite3 of package-lock.json'
  expect(lock.packages['node_modules/better-sqlite3']?.gypfile, hint).toBe(false)
})

test('statements give one row, all, or one after the other, and say what they changed', () => {
  const db = threeRows()
  const byId = db.prepare<{ id: number }, { word: string }>('SELECT word FROM rows WHERE id = @id')
  expect(byId.get({ id: 2 })).toEqual({ word: 'b' })
  expect(byId.get({ id: 9 })).toBeUndefined()
  const words = db.prepare<[], { word: string }>('SELECT word FROM rows ORDER BY id')
  expect(words.all()).toEqual([{ word: 'a' }, { word: 'b' }, { word: 'c' }])
  expect([...words.iterate()]).toEqual(words.all())
  expect(words.raw().all()).toEqual([['a'], ['b'], ['c']])
  expect(db.prepare('DELETE FROM rows WHERE id > 1').run()).toEqual({ changes: 2, lastInsertRowid: 3 })
})

test('a savepoint is undone alone, and a transaction as a whole', () => {
  const db = threeRows()
  db.exec('BEGIN IMMEDIATE; DELETE FROM rows WHERE id = 1; SAVEPOINT part; DELETE FROM rows')
  db.exec('ROLLBACK TO part; RELEASE part; COMMIT')
  expect(count(db)).toBe(2)
  const clear = db.transaction(() => {
    db.exec('DELETE FROM rows')
    throw new Error('no')
  })
  expect(clear).toThrow('no')
  expect([count(db), db.inTransaction]).toEqual([2, false])
})

test('rows come as JSON, and their order is kept', () => {
  const db = threeRows()
  const sql =
    "SELECT json_group_array(json_object('id', id, 'word', word)) AS rows FROM (SELECT * FROM rows ORDER BY id)"
  expect(db.prepare(sql).get()).toEqual({ rows: '[{"id":1,"word":"a"},{"id":2,"word":"b"},{"id":3,"word":"c"}]' })
  expect(db.prepare(`SELECT value ->> '$.word' AS w FROM json_each(?)`).all('[{"word":"x"}]')).toEqual([{ w: 'x' }])
})

test('pragmas take effect', () => {
  const db = new Database(join(tempDir(), 'new.db'))
  onTestFinished(() => void db.close())
  const pragmas = {
    auto_vacuum: [2, 'INCREMENTAL'],
    journal_mode: ['wal', 'WAL'],
    synchronous: [2, 'FULL'],
    wal_autocheckpoint: [2000, '2000'],
    cache_size: [-16384, '-16384'],
    ignore_check_constraints: [1, 'ON'],
    journal_size_limit: [67108864, '67108864'],
    busy_timeout: [100, '100'],
  } as const
  for (const [name, [, value]] of Object.entries(pragmas)) db.pragma(`${name} = ${value}`)
  for (const [name, [is]] of Object.entries(pragmas))
    expect([name, db.pragma(name, { simple: true })]).toEqual([name, is])
  expect(db.pragma('wal_checkpoint(TRUNCATE)')).toEqual([{ busy: 0, log: 0, checkpointed: 0 }])
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
})

test('an error carries the code of SQLite', () => {
  const db = threeRows()
  const broken = expect.objectContaining({ code: 'SQLITE_CONSTRAINT_UNIQUE' }) as unknown
  expect(() => db.prepare("INSERT INTO rows (word) VALUES ('a')").run()).toThrow(broken)
  const other = new Database(db.name, { timeout: 0 })
  onTestFinished(() => void other.close())
  db.exec('BEGIN IMMEDIATE')
  expect(() => other.exec('BEGIN IMMEDIATE')).toThrow(expect.objectContaining({ code: 'SQLITE_BUSY' }) as unknown)
  const reader = new Database(db.name, { readonly: true, fileMustExist: true })
  onTestFinished(() => void reader.close())
  expect(() => reader.exec('DELETE FROM rows')).toThrow(expect.objectContaining({ code: 'SQLITE_READONLY' }) as unknown)
})

test('a database in use is copied in steps, and a copy can be given up between two of them', async () => {
  const db = threeRows()
  db.exec('CREATE TABLE large AS SELECT zeroblob(400000)')
  const copy = join(tempDir(), 'copy.db')
  const left: number[] = []
  await db.backup(copy, { progress: ({ remainingPages }) => (left.push(remainingPages), 20) })
  expect(left.length).toBeGreaterThan(3)
  expect(left).toEqual([...left].sort((a, b) => b - a))
  const copied = new Database(copy, { readonly: true })
  onTestFinished(() => void copied.close())
  expect(count(copied)).toBe(3)
  const giveUp = () => {
    throw new Error('given up')
  }
  await expect(db.backup(join(tempDir(), 'other.db'), { progress: giveUp })).rejects.toThrow('given up')
})

test('a thread opens the same file by the same choice, and ends with its connection open', async () => {
  const db = threeRows()
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.choice).then(({ Database }) => {
      const db = new Database(workerData.file)
      db.prepare('INSERT INTO rows (word) VALUES (?)').run('from the thread')
      globalThis.kept = [db, db.prepare('SELECT * FROM rows')]
      parentPort.postMessage(db.prepare('SELECT count(*) AS n FROM rows').get())
    })`,
    { eval: true, workerData: { choice: CHOICE, file: db.name } },
  )
  const ended = once(worker, 'exit')
  expect(await once(worker, 'message')).toEqual([{ n: 4 }])
  expect(await ended).toEqual([0])
  expect(count(db)).toBe(4)
})

/** What the command line says under another Node, for which no better-sqlite3 12 is installed. */
async function saidUnder(node: string): Promise<string[]> {
  const pretend = `
    import { Module } from 'node:module'
    Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${node}', napi: '9' } })
    const resolve = Module._resolveFilename
    Module._resolveFilename = (name, ...more) => {
      if (name === 'sqlite-node20') throw new Error('Cannot find module')
      return resolve(name, ...more)
    }`
  const env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(pretend)}` }
  const child = cli(['check', '--config', configFile()], { env })
  expect(await child.exit).toEqual({ code: 1, signal: null })
  return child.err
}

test('a Node that nothing was installed for, and one that is too old, get a sentence that says what to do', async () => {
  expect(await saidUnder('20.19.0')).toEqual([
    'stacks-signer: SQLite is not installed for Node 20.19.0: run "npm ci" again under it, with a C++ toolchain, or use Node 22.14 or newer',
  ])
  expect(await saidUnder('20.18.3')).toEqual([
    'stacks-signer: Node 20.18.3 is too old; use Node 22, 24 or 26, or at least 20.19',
  ])
})
