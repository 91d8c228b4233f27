import { createHash } from 'node:crypto'
import { Database } from '../../dist/store/sqlite.js'

/** What a coordinator keeps for itself, and may differ between two of them. */
const OWN = /^(sqlite_|journal_|__drizzle)/

/** Reads in one transaction, beside whoever writes. */
export function inFile(file, read) {
  const db = new Database(file, { readonly: true, timeout: 5000 })
  try {
    return db.transaction(() => read(db))()
  } finally {
    db.close()
  }
}

/** The record that a file is at, and a checksum over the sorted rows of each of its tables. */
export const stateOf = (file) =>
  inFile(file, (db) => {
    const names = db
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
      .pluck()
      .all()
      .filter((name) => !OWN.test(name))
    const sums = names.map((name) => {
      const rows = db
        .prepare(`SELECT * FROM "${name}"`)
        .raw()
        .all()
        .map((row) => JSON.stringify(row))
      return [name, createHash('sha256').update(rows.sort().join('\n')).digest('hex')]
    })
    return { at: positionOf(db), sums: Object.fromEntries(sums) }
  })

/** The newest record in it: what was written since is none. */
const positionOf = (db) =>
  db.prepare('SELECT max(coalesce((SELECT max(n) FROM journal_records), 0), stored_n) FROM journal_state').pluck().get()

/** The tables in which two files differ. */
export const differences = (a, b) =>
  [...new Set([...Object.keys(a.sums), ...Object.keys(b.sums)])].filter((name) => a.sums[name] !== b.sums[name])
