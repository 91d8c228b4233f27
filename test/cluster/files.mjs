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

/** A checksum over the sorted rows of each table. */
export function sumsOf(db) {
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
  return Object.fromEntries(sums)
}

/** The tables in which two files differ, as they are at this moment; null: they are not at the same record. */
export const differencesOf = ([first, second]) =>
  inFile(first, (a) => {
    const at = positionOf(a)
    return inFile(second, (b) => (positionOf(b) === at ? differences(sumsOf(a), sumsOf(b)) : null))
  })

/** The newest record in it: what was written since is none. */
const positionOf = (db) =>
  db.prepare('SELECT max(coalesce((SELECT max(n) FROM journal_records), 0), stored_n) FROM journal_state').pluck().get()

/** The tables whose checksums differ. */
export const differences = (a, b) =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => a[name] !== b[name])
