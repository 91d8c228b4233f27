import { expect } from 'vitest'
import { createJournalTables } from '../../src/store/journal.js'
import { replicaOf } from '../../src/store/replica.js'
import { Database } from '../../src/store/sqlite.js'

/** The tables of a database that its journal tells of. */
export const toldTables = (db: Database): string[] =>
  db
    .prepare<[], { name: string }>(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'journal_%' AND name NOT LIKE '\\_\\_%' ESCAPE '\\' ORDER BY name",
    )
    .all()
    .map(({ name }) => name)

/** The rows of all these tables, as text, with their row numbers, which lists go by. */
export const contentOf = (db: Database): Record<string, string[]> =>
  Object.fromEntries(
    toldTables(db).map((table) => [
      table,
      db
        .prepare(`SELECT ${hasRowNumbers(db, table) ? 'rowid AS row_number, ' : ''}* FROM ${table}`)
        .all()
        .map((row) => JSON.stringify(row))
        .sort(),
    ]),
  )

const hasRowNumbers = (db: Database, table: string): boolean =>
  !/WITHOUT ROWID/i.test(
    db.prepare<[string], { sql: string | null }>('SELECT sql FROM sqlite_schema WHERE name = ?').get(table)?.sql ?? '',
  )

/** The first epoch of a journal. */
export const FIRST_EPOCH = 1

/** Begins a journal with an open database. */
export function beginJournal(db: Database): void {
  const tables = createJournalTables(db)
  tables.writeState({ journal_id: 'test', role: 'owner', owner_url: '', stored_n: 0, stored_seq: 0 })
  tables.add({ n: 1, epoch: FIRST_EPOCH, kind: 'fence', body: Buffer.from('{}'), seq: null })
}

/** Begins a journal with an open database, and a second one in memory that follows it by what the journal tells. */
export function journalCopy(db: Database) {
  beginJournal(db)
  const file = db.serialize()
  // The bytes that say that a file has a write-ahead log, which one in memory cannot have.
  file.fill(1, 18, 20)
  const copy = new Database(file)
  const replica = replicaOf(copy, () => copy.close())
  return {
    replica,
    /** Applies what the first has written since. */
    follow(from: Database) {
      const tables = createJournalTables(from)
      for (let n = replica.newest().n + 1; n <= tables.newest().n; n++) {
        const record = tables.get(n)
        if (record === undefined) throw new Error(`record ${n} is not kept`)
        replica.apply([{ ...record, seq: n }])
      }
    },
    /** Closes the copy. @throws when its rows are not those of the first */
    endsLike(from: Database) {
      try {
        expect(contentOf(copy)).toEqual(contentOf(from))
      } finally {
        replica.close()
      }
    },
  }
}
