import { setTimeout as sleep } from 'node:timers/promises'
import { closeSync, existsSync, fsyncSync, openSync, realpathSync } from 'node:fs'
import { createAccess, type Access } from './access.js'
import { codeOf } from './faults.js'
import { createJournalTables, journalStateOf, type JournalTables } from './journal.js'
import { acquireLock, explainOpen, InUseError, openDatabase, refuseNewer, StoreError, versionOf } from './open.js'
import { recordStatements } from './recording.js'
import { Database } from './sqlite.js'

/** How long a command waits for the service to end a transaction, ms. */
const LOCK_WAIT_MS = 5000
/** How long a command waits for the running owner of a cluster to put its change into the log, and how often it looks, ms. */
const STORED_WAIT_MS = 5000
const STORED_LOOK_MS = 20

/** A database that a service may be running on. */
export interface Beside {
  access: Access
  /**
   * Runs a change as one short transaction, and returns when it is durable.
   * @throws StoreError when the file cannot be written; then nothing was changed
   */
  transaction<T>(change: () => T): T
  /**
   * Waits until the log of the cluster that the file belongs to has what was changed.
   * @returns null: it has, or there is none; else a sentence of warning: it does not have it yet
   */
  inLog(): Promise<string | null>
  close(): void
}

/**
 * Opens a database for a command that changes who may do what, also while a service runs on it. A file that is not there or of an
 * older version is made, or upgraded, first, as a start of the service does. What is changed on a file of a cluster is noted in its
 * journal, from where the owner sends it to the log.
 * @throws StoreError also when the coordinator of this file follows: the change belongs to its owner
 */
export function openBeside(file: string): Beside {
  if (!existsSync(file) || needsUpgrade(file)) upgrade(file)
  return open(file, (db) => {
    refuseFollower(db, file)
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
      const tables = readonly ? null : createJournalTables(opened)
      const recording = recordStatements(opened, () => opened.inTransaction)
      /** The newest record that was added; 0: none. */
      let added = 0
      return {
        access: createAccess(readonly ? opened : recording.db),
        transaction: (change) =>
          explained(() => {
            try {
              const { result, n } = opened
                .transaction(() => {
                  if (tables?.state() !== undefined) refuseFollower(opened, file)
                  return { result: change(), n: note(tables, recording.take()) }
                })
                .immediate()
              flush(log)
              added = Math.max(added, n)
              return result
            } finally {
              recording.cut(0)
            }
          }),
        inLog: () => (tables === null || added === 0 ? Promise.resolve(null) : untilInLog(file, tables, added)),
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

/** Adds what a command has written to the journal of a file that has one. @returns its number; 0: there is nothing to add */
function note(tables: JournalTables | null, body: Buffer | null): number {
  if (tables === null || body === null || tables.state() === undefined) return 0
  return tables.addNext(tables.newest().epoch, body)
}

async function untilInLog(file: string, tables: JournalTables, n: number): Promise<string | null> {
  const ahead = 'the change is durable on this machine only so far'
  if (!isServed(file))
    return `${ahead}: no service runs here. When it starts it sends the change to the log of its cluster, unless another coordinator has taken over until then: then the change is lost, and has to be made there`
  for (const until = performance.now() + STORED_WAIT_MS; performance.now() < until; await sleep(STORED_LOOK_MS))
    if ((tables.state()?.stored_n ?? 0) >= n) return null
  return `${ahead}: the log of the cluster did not have it after ${STORED_WAIT_MS / 1000} s. See "stacks-signer cluster status"; where another coordinator has taken over, make the change there`
}

/** Whether a service runs on the file. */
function isServed(file: string): boolean {
  try {
    acquireLock(file).close()
    return false
  } catch (error) {
    if (error instanceof InUseError) return true
    throw error
  }
}

/** What follows a journal is written by nobody else. */
function refuseFollower(db: Database, file: string): void {
  const state = journalStateOf(db)
  if (state?.role !== 'follower') return
  const where = state.owner_url === '' ? 'the owner' : `the owner, ${state.owner_url}`
  throw new StoreError(
    `${file}: this coordinator follows in its cluster, and what is changed here would be lost: run the command on the machine of ${where}, or ask its service with --url`,
  )
}

/** A file of a cluster is upgraded by its owner alone, when that starts. */
function needsUpgrade(file: string): boolean {
  const db = new Database(file, { readonly: true, timeout: LOCK_WAIT_MS })
  try {
    refuseNewer(db, file)
    if (versionOf(db) === 'same') return false
    return journalStateOf(db) === undefined
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
