import { drizzle } from 'drizzle-orm/better-sqlite3'
import { migrate } from 'drizzle-orm/better-sqlite3/migrator'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Database } from '../../src/store/sqlite.js'
import { tempDir } from './temp-dir.js'

export const migrations = fileURLToPath(new URL('../../drizzle', import.meta.url))

/** A file as the version left it that knew so many migrations, filled by `sql`. */
export function formerFile(known: number, sql: string): string {
  const folder = join(tempDir(), 'drizzle')
  cpSync(migrations, folder, { recursive: true })
  const journal = join(folder, 'meta', '_journal.json')
  const { entries, ...rest } = JSON.parse(readFileSync(journal, 'utf8')) as { entries: unknown[] }
  writeFileSync(journal, JSON.stringify({ ...rest, entries: entries.slice(0, known) }))
  const file = join(tempDir(), 'inference.db')
  const db = new Database(file)
  db.pragma('auto_vacuum = INCREMENTAL')
  migrate(drizzle(db), { migrationsFolder: folder })
  db.exec(sql)
  db.close()
  return file
}

/** Opens a file for one look, or one change. */
export function inFile<T>(file: string, look: (db: Database) => T): T {
  const db = new Database(file)
  try {
    return look(db)
  } finally {
    db.close()
  }
}
