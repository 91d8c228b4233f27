import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { createUndoLog } from '../lib/undo-log.js'
import { createAccess } from './access.js'
import { createAskedTasks } from './asked-tasks.js'
import { createAttemptTable } from './attempts.js'
import { createCallbackTable } from './callbacks.js'
import { createClockOffsets } from './clock-offsets.js'
import { createDelegationTable } from './delegations.js'
import { createHistory } from './history.js'
import { createJournalWriter } from './journal.js'
import { createNodeTable } from './nodes.js'
import { createChainBlockTable } from './chain-blocks.js'
import { createPastAttempts } from './past-attempts.js'
import { recordStatements } from './recording.js'
import { createResealing } from './resealing.js'
import { createResultProofs } from './result-proofs.js'
import { serviceClock } from './schema.js'
import { excluded, literal, rowOf } from './statement.js'
import { createSettlementIntake } from './settlement-intake.js'
import { createSettlementTable } from './settlements.js'
import { createTaskTable } from './tasks.js'
import { createTaskTexts, plainTexts, type TextStorage } from './task-texts.js'
import { createWal } from './wal.js'
import type { Database } from './sqlite.js'

/** The clock's only row. */
const CLOCK_ROW = 1

export type Store = ReturnType<typeof createStore>

/** What a transaction has written, as the journal tells it. */
export interface WrittenRecord {
  n: number
  body: Buffer
}

/**
 * The tables over one open database, and the transaction that all of a turn's changes share.
 * @param storage how texts are stored; as they are, unless said
 * @param epoch of the ownership of a journal; then each transaction adds what it has written to it. null: there is none
 */
export function createStore(file: Database, storage: TextStorage = plainTexts, epoch: number | null = null) {
  const begin = file.prepare('BEGIN IMMEDIATE')
  const commit = file.prepare('COMMIT')
  const rollback = file.prepare('ROLLBACK')
  const beginSavepoint = file.prepare('SAVEPOINT operation')
  const undoSavepoint = file.prepare('ROLLBACK TO operation')
  const endSavepoint = file.prepare('RELEASE operation')
  const recording = epoch === null ? null : recordStatements(file, () => file.inTransaction)
  const journal = epoch === null ? null : createJournalWriter(file, epoch)
  const db = recording === null ? file : recording.db
  let written: WrittenRecord | null = null
  const orm = drizzle(db)
  const loadClock = literal(
    orm.select({ alive_ms: serviceClock.alive_ms }).from(serviceClock).where(eq(serviceClock.id, CLOCK_ROW)),
  ).prepare()
  const saveClock = orm
    .insert(serviceClock)
    .values(rowOf(serviceClock))
    .onConflictDoUpdate({ target: serviceClock.id, set: excluded(serviceClock, 'id') })
    .prepare()
  const dataVersion = db.prepare<[], { data_version: number }>('PRAGMA data_version')
  const size = db.prepare<[], { bytes: number }>(
    'SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()',
  )
  const freePages = db.prepare<[], { freelist_count: number }>('PRAGMA freelist_count')
  const undo = createUndoLog()
  const texts = createTaskTexts(storage)
  const tasks = createTaskTable(db, undo, texts)
  const attempts = createAttemptTable(db, texts)
  return {
    /** How memory was before the transaction that is open. */
    undo,
    tasks,
    attempts,
    nodes: createNodeTable(db),
    access: createAccess(db),
    resealing: createResealing(db, texts),
    history: createHistory(db, texts),
    ...createPastAttempts(db),
    settlements: createSettlementTable(db, undo),
    settlementIntake: createSettlementIntake(db),
    callbacks: createCallbackTable(db, undo, texts),
    resultProofs: createResultProofs(db),
    asked: createAskedTasks(db),
    chainBlocks: createChainBlockTable(db),
    delegations: createDelegationTable(db),
    clockOffsets: createClockOffsets(db),
    wal: createWal(db),
    /**
     * The service clock when the coordinator was alive last, in ms; null in a new file. After a crash what it wrote of its
     * work is newer than that: time never goes back behind it.
     */
    loadClock(): number | null {
      const alive = loadClock.get()?.alive_ms
      return alive === undefined ? null : Math.max(alive, tasks.newestSince() ?? 0, attempts.latestMoment() ?? 0)
    },
    saveClock: (ms: number, wallSeconds: number) =>
      saveClock.run({ id: CLOCK_ROW, alive_ms: ms, alive_at: wallSeconds }),
    /** Another number when another program has written the file since. */
    dataVersion: (): number => dataVersion.get()?.data_version ?? 0,
    /** Pages of the file that hold nothing, for rows to come or for the file system. */
    freePages: (): number => freePages.get()?.freelist_count ?? 0,
    /** Bytes of the file, without its write-ahead log. */
    bytes: (): number => size.get()?.bytes ?? 0,
    /** Shortens the file by up to so many free pages; does nothing in a file that was made without auto_vacuum. */
    shrink(pages: number) {
      db.exec(`PRAGMA incremental_vacuum(${pages})`)
    },
    begin: () => begin.run(),
    commit() {
      const body = recording?.take() ?? null
      if (body === null || journal === null) return commit.run()
      const record = { n: journal.add(body), body }
      const result = commit.run()
      written = record
      return result
    },
    /** What the last commit has added to the journal, once; null: nothing. */
    takeWritten(): WrittenRecord | null {
      const record = written
      written = null
      return record
    },
    /** What of the journal is in its log; null where there is none. */
    journal,
    /**
     * A part of the transaction that may fail without it: then nothing of it is left in the file, and the error is
     * returned.
     * @throws when the whole transaction was undone with it
     */
    savepoint(change: () => void): Error | null {
      const mark = recording?.mark() ?? 0
      beginSavepoint.run()
      try {
        change()
        endSavepoint.run()
        return null
      } catch (error) {
        tasks.undone()
        if (!file.inTransaction) throw error
        undoSavepoint.run()
        recording?.cut(mark)
        endSavepoint.run()
        return error instanceof Error ? error : new Error('a savepoint failed', { cause: error })
      }
    },
    /** Undoes the whole transaction; SQLite may have done so by itself (a full disk, an I/O error). */
    rollback() {
      tasks.undone()
      recording?.cut(0)
      journal?.undone()
      if (file.inTransaction) rollback.run()
    },
  }
}
