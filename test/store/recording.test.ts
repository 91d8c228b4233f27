import { expect, test } from 'vitest'
import { recordStatements } from '../../src/store/recording.js'
import { createReplay, Diverged } from '../../src/store/replay.js'
import { Database } from '../../src/store/sqlite.js'

const SCHEMA = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)'

function twoFiles() {
  const first = new Database(':memory:')
  const second = new Database(':memory:')
  first.exec(SCHEMA)
  second.exec(SCHEMA)
  const recording = recordStatements(first, () => first.inTransaction)
  const replay = createReplay(second)
  const rows = (db: Database) => db.prepare('SELECT * FROM t ORDER BY id').all()
  return {
    first,
    recording,
    replay,
    /** Runs a change as one transaction, and again on the second file. */
    both(change: () => void) {
      first.transaction(change)()
      const body = recording.take()
      if (body !== null) second.transaction(() => replay(body))()
      expect(rows(second)).toEqual(rows(first))
      return body
    },
    rows: () => rows(second),
  }
}

test('what a transaction has written is written again elsewhere, whatever its values are', () => {
  const { recording, both, rows } = twoFiles()
  const insert = recording.db.prepare('INSERT INTO t (a, b) VALUES (?, ?)')
  both(() => {
    insert.run('text with "quotes", \u0000 and 中文', null)
    insert.run(-0.25, 2 ** 53)
    insert.run(9007199254740993n, Buffer.from([0, 255, 10]))
    recording.db.prepare('INSERT INTO t (a, b) VALUES (@a, @b)').run({ a: 'by name', b: Buffer.from('x') })
  })
  expect(rows()).toHaveLength(4)
})

test('updates, deletions and what a statement returns are noted when they have changed something', () => {
  const { recording, both } = twoFiles()
  const insert = recording.db.prepare('INSERT INTO t (a) VALUES (?) RETURNING id')
  both(() => {
    expect(insert.get('one')).toEqual({ id: 1 })
    expect(insert.all('two')).toEqual([{ id: 2 }])
  })
  both(() => recording.db.prepare('UPDATE t SET b = a || ? WHERE id = ?').run('!', 1))
  both(() => recording.db.prepare('DELETE FROM t WHERE id = ?').run(2))
  const nothing = both(() => {
    recording.db.prepare('UPDATE t SET b = 1 WHERE id = ?').run(99)
    recording.db.prepare('SELECT * FROM t').all()
  })
  expect(nothing).toBeNull()
})

test('what was undone is not told', () => {
  const { first, recording, both } = twoFiles()
  const insert = recording.db.prepare('INSERT INTO t (a) VALUES (?)')
  both(() => {
    insert.run('stays')
    const mark = recording.mark()
    first.exec('SAVEPOINT part')
    insert.run('goes')
    first.exec('ROLLBACK TO part')
    recording.cut(mark)
    insert.run('stays too')
  })
})

test('a write that no transaction of the store would tell of is a fault', () => {
  const { recording } = twoFiles()
  expect(() => recording.db.prepare('INSERT INTO t (a) VALUES (?)').run('alone')).toThrow(/outside of a transaction/)
})

test('a file that is not as the other was says so, and a record that is none is refused', () => {
  const { recording, first, replay } = twoFiles()
  first.exec("INSERT INTO t (a) VALUES ('only here')")
  first.transaction(() => recording.db.prepare('DELETE FROM t WHERE id = ?').run(1))()
  const body = recording.take()
  if (body === null) throw new Error('nothing was noted')
  expect(() => replay(body)).toThrow(Diverged)
  for (const [sql, run] of [
    ['DROP TABLE t', [[0]]],
    ['ATTACH ? AS other', [[0, '/tmp/other.db']]],
    ['INSERT INTO t (a) VALUES (?)', [[1, 'x']]],
    ['INSERT INTO t (a) VALUES (?)', [[0, { x: 1 }]]],
    ['INSERT INTO t (a) VALUES (?)', [[]]],
  ] as const)
    expect(() => replay(Buffer.from(JSON.stringify({ sql: [sql], run })))).toThrow()
  expect(() => replay(Buffer.from('not json'))).toThrow()
})
