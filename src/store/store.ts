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
import { createNodeTable } from './nodes.js'
import { createChainBlockTable } from './chain-blocks.js'
import { createPastAttempts } from './past-attempts.js'
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

/**
 * The tables over one open database, and the transaction that all of a turn's changes share.
 * @param storage how texts are stored; as they are, unless said
 */
export function createStore(db: Database, storage: TextStorage = plainTexts) {
  const begin = db.prepare('BEGIN IMMEDIATE')
  const commit = db.prepare('COMMIT')
  const rollback = db.prepare('ROLLBACK')
  const beginSavepoint = db.prepare('SAVEPOINT operation')
  const undoSavepoint = db.prepare('ROLLBACK TO operation')
  const endSavepoint = db.prepare('RELEASE operation')
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
    commit: () => commit.run(),
    /**
     * A part of the transaction that may fail without it: then nothing of it is left in the file, and the error is
     * returned.
     * @throws when the whole transaction was undone with it
     */
    savepoint(change: () => void): Error | null {
      beginSavepoint.run()
      try {
        change()
        endSavepoint.run()
        return null
      } catch (error) {
        if (!db.inTransaction) throw error
        undoSavepoint.run()
        endSavepoint.run()
        return error instanceof Error ? error : new Error('a savepoint failed', { cause: error })
      }
    },
    /** Undoes the whole transaction; SQLite may have done so by itself (a full disk, an I/O error). */
    rollback() {
      if (db.inTransaction) rollback.run()
    },
  }
}
