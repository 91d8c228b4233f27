import { createUndoLog } from '../lib/undo-log.js'
import { createAttemptTable } from './attempts.js'
import { createHistory } from './history.js'
import { createNodeTable } from './nodes.js'
import { createTaskTable } from './tasks.js'
import { createWal } from './wal.js'
import type { Database } from './sqlite.js'

export type Store = ReturnType<typeof createStore>

/** The tables over one open database, and the transaction that all of a turn's changes share. */
export function createStore(db: Database) {
  const begin = db.prepare('BEGIN IMMEDIATE')
  const commit = db.prepare('COMMIT')
  const rollback = db.prepare('ROLLBACK')
  const beginPart = db.prepare('SAVEPOINT part')
  const undoPart = db.prepare('ROLLBACK TO part')
  const endPart = db.prepare('RELEASE part')
  const loadClock = db.prepare<[], { alive_ms: number }>('SELECT alive_ms FROM service_clock WHERE id = 1')
  const saveClock = db.prepare(
    'INSERT INTO service_clock (id, alive_ms, alive_at) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET alive_ms = excluded.alive_ms, alive_at = excluded.alive_at',
  )
  const freePages = db.prepare<[], { freelist_count: number }>('PRAGMA freelist_count')
  const undo = createUndoLog()
  return {
    /** How memory was before the transaction that is open. */
    undo,
    tasks: createTaskTable(db, undo),
    attempts: createAttemptTable(db),
    nodes: createNodeTable(db),
    history: createHistory(db),
    wal: createWal(db),
    /** The service clock when the coordinator was alive last, in ms; null in a new file. */
    loadClock: (): number | null => loadClock.get()?.alive_ms ?? null,
    saveClock: (ms: number, wallSeconds: number) => saveClock.run(ms, wallSeconds),
    /** Pages of the file that hold nothing, for rows to come or for the file system. */
    freePages: (): number => freePages.get()?.freelist_count ?? 0,
    /** Shortens the file by up to so many free pages; does nothing in a file that was made without auto_vacuum. */
    shrink(pages: number) {
      db.exec(`PRAGMA incremental_vacuum(${pages})`)
    },
    begin: () => begin.run(),
    commit: () => commit.run(),
    /**
     * A part of the transaction that may fail without it: then nothing of the part is left in the file, and the error is
     * returned.
     * @throws when the whole transaction was undone with it
     */
    savepoint(change: () => void): Error | null {
      beginPart.run()
      try {
        change()
        endPart.run()
        return null
      } catch (error) {
        if (!db.inTransaction) throw error
        undoPart.run()
        endPart.run()
        return error instanceof Error ? error : new Error('a part of the transaction failed', { cause: error })
      }
    },
    /** Undoes the whole transaction; SQLite may have done so by itself (a full disk, an I/O error). */
    rollback() {
      if (db.inTransaction) rollback.run()
    },
  }
}
