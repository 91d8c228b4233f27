import { drizzle } from 'drizzle-orm/better-sqlite3'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { migrate } from 'drizzle-orm/better-sqlite3/migrator'
import { existsSync, mkdirSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codeOf, isDamage } from './faults.js'
import { adoptOriginal, copyOriginal, type Adoption } from './maintenance/adopt.js'
import { bytesOf, Database, leaveChecksOut } from './sqlite.js'
import { renewWal } from './wal.js'

/** The database cannot be used; the message says which file, why, and what to do. */
export class StoreError extends Error {}

/** A coordinator runs on the database, or is just starting on it. */
export class InUseError extends StoreError {}

/** The file is damaged: no part of it is to be trusted. */
export class DamagedError extends StoreError {}

export interface OpenedDatabase {
  db: Database
  /** What was taken over from a file of the original service, or null. */
  adopted: Adoption | null
  /** Why the file could not be set up to give room back after deletions; null where it is. */
  unvacuumed: string | null
  close(): void
}

const migrationsFolder = fileURLToPath(new URL('../../drizzle', import.meta.url))
/** How long a statement waits for a lock that another program holds, in ms. At start longer: nobody is waiting for us yet. */
const LOCK_WAIT_AT_START_MS = 3000
const LOCK_WAIT_MS = 100

/**
 * Opens the database of a coordinator, alone: a second coordinator on the same file is refused, other programs may
 * read. Creates it, adopts a file of the original service, applies migrations.
 * @throws StoreError
 */
export function openDatabase(file: string): OpenedDatabase {
  const owner = acquireLock(file)
  let db: Database | undefined
  try {
    db = new Database(file, { timeout: LOCK_WAIT_AT_START_MS })
    refuseNewer(db, file)
    db.pragma('auto_vacuum = INCREMENTAL') // takes effect in a new file only
    // In WAL mode the default is NORMAL, which loses the newest commits in a power cut.
    setUp(db, 'FULL')
    db.pragma('wal_autocheckpoint = 2000')
    renewWal(db)
    const adopted = upgrade(db)
    const unvacuumed = vacuumOnce(db)
    leaveChecksOut(db)
    db.pragma(`busy_timeout = ${LOCK_WAIT_MS}`)
    if (db.pragma('synchronous', { simple: true }) !== 2)
      throw new StoreError(`${file}: synchronous=FULL did not take effect`)
    const opened = db
    return {
      db,
      adopted,
      unvacuumed,
      close: () => closeFile(opened, owner),
    }
  } catch (error) {
    db?.close()
    owner.close()
    throw openingError(file, error)
  }
}

/** What every connection that writes a coordinator's file has in common. */
export function setUp(db: Database, synchronous: 'FULL' | 'NORMAL'): void {
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${synchronous}`)
  db.pragma(`cache_size = -${cacheFor(bytesOf(db))}`)
  // What a reader made it grow to is given back with the next write after it has gone.
  db.pragma('journal_size_limit = 67108864')
}

/** From so many bytes on a file is large: about three million tasks. */
const LARGE_FILE = 4 * 1024 ** 3

/**
 * How much of a file of so many bytes is kept in memory, KiB. With the 2 MiB that SQLite takes by itself, tasks that waited a second are read
 * from the log again. With more than this a commit costs more: where pages of an index were split or joined, SQLite goes through its whole
 * cache at the end of the commit. In a large file that is less than what reading the pages of its indexes again would cost.
 */
const cacheFor = (bytes: number): number => (bytes < LARGE_FILE ? 16_384 : 65_536)

/** Closes a database that was opened alone: without a log beside it, and for others to open. */
export function closeFile(db: Database, lock: Database): void {
  try {
    db.pragma('wal_checkpoint(TRUNCATE)')
  } finally {
    db.close()
    lock.close()
  }
}

/**
 * Holds an exclusive lock on a file beside the database for as long as we live; the system frees it if we are killed.
 * @throws StoreError when a coordinator runs on the database
 */
export function acquireLock(file: string): Database {
  let lock: Database | undefined
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    // One lock however the file is reached: by its name or through a link.
    const real = existsSync(file) ? realpathSync(file) : join(realpathSync(dirname(file)), basename(file))
    lock = new Database(`${real}.lock`, { timeout: 0 })
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock?.close()
    if (codeOf(error).startsWith('SQLITE_BUSY')) {
      throw new InUseError(
        `${file}: another coordinator is running on this database; stop it first, or choose another file with --database`,
      )
    }
    throw new StoreError(explainOpen(file, error))
  }
}

/** How the tables of a file compare with those that this program makes; `none`: the file is not ours yet. */
export function versionOf(db: Database): 'none' | 'older' | 'same' | 'newer' {
  if (!hasTable(db, '__drizzle_migrations')) return 'none'
  const newest = schemaOf(db)
  const known = newestSchema()
  return newest > known ? 'newer' : newest < known ? 'older' : 'same'
}

/** @throws StoreError when the database was written by a newer version of this program */
export function refuseNewer(db: Database, file: string): void {
  if (versionOf(db) !== 'newer') return
  throw new StoreError(
    `${file}: this database was written by a newer version of the service; upgrade the service, or choose another file with --database`,
  )
}

/** The newest migration that this program knows, and that of a file: when it was made, Unix ms. */
export const newestSchema = (): number =>
  Math.max(...readMigrationFiles({ migrationsFolder }).map((m) => m.folderMillis))
export const schemaOf = (db: Database): number =>
  db.prepare<[], { at: number | null }>('SELECT max(created_at) AS at FROM __drizzle_migrations').get()?.at ?? 0

/** Applies the migrations of this program up to and with the one of `schema`: where the owner of a journal has made them, and not before. */
export function migrateUpTo(db: Database, schema: number): void {
  const note = db.prepare<[hash: string, at: number]>(
    'INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)',
  )
  for (const { sql, hash, folderMillis } of readMigrationFiles({ migrationsFolder })) {
    if (folderMillis <= schemaOf(db) || folderMillis > schema) continue
    db.transaction(() => {
      for (const statement of sql) db.exec(statement)
      note.run(hash, folderMillis)
    })()
  }
}

function upgrade(db: Database): Adoption | null {
  const original = hasTable(db, 'inference_tasks') && !hasTable(db, '__drizzle_migrations')
  if (original) adoptOriginal(db)
  migrate(drizzle(db), { migrationsFolder })
  return hasTable(db, 'original_tasks') || hasTable(db, 'original_nodes') ? copyOriginal(db) : null
}

/**
 * An adopted file was made without auto_vacuum, and only a VACUUM can turn it on; it keeps the order of the rows. It needs as much room again
 * as the file has, so a failure is told and not fatal: the file serves as it is, and the next start tries again.
 */
function vacuumOnce(db: Database): string | null {
  const INCREMENTAL = 2
  if (db.pragma('auto_vacuum', { simple: true }) === INCREMENTAL) return null
  try {
    db.pragma('auto_vacuum = INCREMENTAL')
    db.exec('VACUUM')
    db.pragma('wal_checkpoint(TRUNCATE)')
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

export const hasTable = (db: Database, name: string): boolean =>
  db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(name) !== undefined

/** What keeps a database from being opened, as what it is thrown as. */
export function openingError(file: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const says = explainOpen(file, error)
  return isDamage(error) ? new DamagedError(says) : new StoreError(says)
}

/** One line for what went wrong with a file, and what to do. */
export function explainOpen(file: string, error: unknown): string {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  if (code.startsWith('SQLITE_BUSY'))
    return `${file}: the database is locked by another program; close that program and start again`
  if (code.startsWith('SQLITE_READONLY'))
    return `${file}: the database is read-only; make the file and its folder writable for this user`
  if (code.startsWith('SQLITE_NOTADB'))
    return `${file}: this file is not an SQLite database; choose another file with --database`
  if (code.startsWith('SQLITE_CORRUPT')) return `${file}: the database is damaged (${message}); restore a backup`
  if (code.startsWith('SQLITE_FULL')) return `${file}: the disk is full; make room and start again`
  return `${file}: the database cannot be opened (${message}); check that the folder exists and is writable`
}
