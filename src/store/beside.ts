import { closeSync, existsSync, fsyncSync, openSync, realpathSync } from 'node:fs'
import { createAccess, type Access } from './access.js'
import { codeOf } from './faults.js'
import { explainOpen, InUseError, openDatabase, refuseNewer, StoreError, versionOf } from './open.js'
import { Database } from './sqlite.js'

/** How long a command waits for the service to end a transaction, ms. */
const LOCK_WAIT_MS = 5000

/** A database that a service may be running on. */
export interface Beside {
  access: Access
  /**
   * Runs a change as one short transaction, and returns when it is durable.
   * @throws StoreError when the file cannot be written; then nothing was changed
   */
  transaction<T>(change: () => T): T
  close(): void
}

/**
 * Opens a database for a command that changes who may do what, also while a service runs on it. A file that is not there or of an
 * older version is made, or upgraded, first, as a start of the service does.
 * @throws StoreError
 */
export function openBeside(file: string): Beside {
  if (!existsSync(file) || !isUpToDate(file)) upgrade(file)
  return open(file, (db) => {
    refuseOther(db, file)
    db.pragma('journal_mode = WAL') // a backup that was put in its place has another
    // The service waits a tenth of a second for us, and a slow disk may take longer: so the commit itself waits for no disk,
    // and `transaction` does afterwards, without the lock. Nor do we move the service's log into the file for it.
    db.pragma('synchronous = NORMAL')
    db.pragma('wal_autocheckpoint = 0')
  })
}

/**
 * Opens a database to look at it, and changes nothing; a backup too.
 * @throws StoreError
 */
export function readBeside(file: string): Beside {
  if (!existsSync(file))
    throw new StoreError(`${file}: there is no such database; name an existing file with --database`)
  return open(file, (db) => refuseOther(db, file), true)
}

function open(file: string, prepare: (db: Database) => void, readonly = false): Beside {
  let db: Database | undefined
  const explained = <T>(action: () => T): T => {
    try {
      return action()
    } catch (error) {
      throw codeOf(error).startsWith('SQLITE_') ? new StoreError(explainOpen(file, error)) : error
    }
  }
  try {
    return explained(() => {
      const opened = new Database(file, { timeout: LOCK_WAIT_MS, fileMustExist: true, readonly })
      db = opened
      prepare(opened)
      const log = `${realpathSync(file)}-wal`
      return {
        access: createAccess(opened),
        transaction: (change) =>
          explained(() => {
            const result = opened.transaction(change).immediate()
            flush(log)
            return result
          }),
        close: () => void opened.close(),
      }
    })
  } catch (error) {
    db?.close()
    throw error
  }
}

/** Makes durable what was committed to the log. */
function flush(log: string): void {
  const fd = openSync(log, 'r+')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function isUpToDate(file: string): boolean {
  const db = new Database(file, { readonly: true, timeout: LOCK_WAIT_MS })
  try {
    refuseNewer(db, file)
    return versionOf(db) === 'same'
  } catch (error) {
    throw error instanceof StoreError ? error : new StoreError(explainOpen(file, error))
  } finally {
    db.close()
  }
}

function upgrade(file: string): void {
  try {
    openDatabase(file).close()
  } catch (error) {
    if (!(error instanceof InUseError)) throw error
    throw new StoreError(
      `${file}: a service of an older version runs on this database, or one is just starting: use the program that the service was started with, or try again in a moment`,
    )
  }
}

/** Another version may keep who may do what in other tables. */
function refuseOther(db: Database, file: string): void {
  refuseNewer(db, file)
  const version = versionOf(db)
  if (version === 'none')
    throw new StoreError(`${file}: this is not a database of this service; name another file with --database`)
  if (version === 'older')
    throw new StoreError(
      `${file}: this database is of an older version; start the service on it once, which upgrades it`,
    )
}
