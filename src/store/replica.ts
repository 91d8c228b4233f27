import { existsSync } from 'node:fs'
import { codeOf } from './faults.js'
import { createJournalTables, createKeeping } from './journal.js'
import type { JournalRecord, JournalState } from './journal-schema.js'
import {
  acquireLock,
  closeFile,
  hasTable,
  migrateUpTo,
  newestSchema,
  openingError,
  refuseNewer,
  setUp,
  StoreError,
  versionOf,
} from './open.js'
import { createReplay, Diverged } from './replay.js'
import { Database, leaveChecksOut } from './sqlite.js'

/** A record of the journal, and where it ends in the log. */
export type StoredRecord = JournalRecord & { seq: number }

export type Replica = ReturnType<typeof openReplica>

/**
 * Opens a database to follow a journal with it, alone: what the journal tells is written, and nothing else. It is not upgraded before the
 * owner's is.
 * @throws StoreError
 */
export function openReplica(file: string) {
  const lock = acquireLock(file)
  let db: Database | undefined
  try {
    if (!existsSync(file)) throw new StoreError(`${file}: there is no database to follow with`)
    const opened = new Database(file)
    db = opened
    refuseNewer(opened, file)
    if (versionOf(opened) === 'none') throw new StoreError(`${file}: this is not a database of this service`)
    // A commit that a power cut takes back is read from the journal again.
    setUp(opened, 'NORMAL')
    leaveChecksOut(opened)
    return replicaOf(opened, () => closeFile(opened, lock))
  } catch (error) {
    db?.close()
    lock.close()
    throw openingError(file, error)
  }
}

/** The same over a database that is open already. */
export function replicaOf(db: Database, close: () => void) {
  const tables = createJournalTables(db)
  const keeping = createKeeping(tables)
  const replay = createReplay(db)

  const applyOne = (record: StoredRecord): void => {
    const newest = tables.newest()
    if (record.n <= newest.n) {
      const ours = tables.get(record.n)
      // What is older than all that is kept was compared when it was applied.
      if (ours !== undefined && ours.epoch !== record.epoch)
        throw new Diverged(`record ${record.n} is of epoch ${record.epoch} in the journal, and of ${ours.epoch} here`)
      if (ours?.seq === null) tables.place(record.n - 1, record.n, record.seq)
      return
    }
    if (record.n !== newest.n + 1)
      throw new Diverged(`record ${record.n} follows in the journal, and this file ends with ${newest.n}`)
    if (record.kind === 'turn') {
      if (record.epoch !== newest.epoch)
        throw new Diverged(
          `record ${record.n} is of epoch ${record.epoch} without its fence; this file is of ${newest.epoch}`,
        )
      replay(record.body)
    } else if (record.epoch <= newest.epoch)
      throw new Diverged(
        `record ${record.n} is the fence of epoch ${record.epoch}, and this file is of ${newest.epoch}`,
      )
    tables.add(record)
    keeping.added(record.n, record.body.length, record.n)
  }

  return {
    state: tables.state,
    newest: tables.newest,
    record: tables.get,
    /** Whether it holds no tasks, nodes and tokens yet. */
    isEmpty: (): boolean =>
      ['inference_tasks', 'inference_nodes', 'tokens'].every(
        (table) => !hasTable(db, table) || db.prepare(`SELECT 1 FROM ${table} LIMIT 1`).get() === undefined,
      ),
    /** As it is when the owner has upgraded its own. @throws StoreError when this program does not know of so new tables */
    migrate(schema: number) {
      if (schema > newestSchema())
        throw new StoreError(
          'the owner of the journal runs a newer version of the service, with other tables; upgrade this coordinator to it',
        )
      migrateUpTo(db, schema)
    },
    setRole: tables.setRole,
    /** The records up to `n` are in the log, and end there at `seq`. */
    isStored(n: number, seq: number) {
      db.transaction(() => {
        tables.place(tables.state()?.stored_n ?? 0, n, seq)
        tables.markStored(n, seq)
      }).immediate()
    },
    /** A new journal begins with this file. */
    begin(state: Omit<JournalState, 'id'>) {
      db.transaction(() => {
        tables.forgetAll()
        tables.writeState(state)
      }).immediate()
    },
    /**
     * Writes what the journal tells, all of it or nothing. Records that are there already are passed over.
     * @throws Diverged when this file is not a part of the journal; SqliteError; Error of a record that cannot be run
     */
    apply(records: readonly StoredRecord[]) {
      const last = records.at(-1)
      if (last === undefined) return
      try {
        db.transaction(() => {
          for (const record of records) applyOne(record)
          tables.markStored(last.n, last.seq)
        }).immediate()
      } catch (error) {
        keeping.undone()
        if (codeOf(error).startsWith('SQLITE_CONSTRAINT'))
          throw new Diverged(`this file is not as the owner's was: ${String(error)}`)
        throw error
      }
    },
    close,
  }
}
