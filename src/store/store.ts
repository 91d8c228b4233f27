import type Database from 'better-sqlite3'
import { createAttemptTable } from './attempts.js'
import { createNodeTable } from './nodes.js'
import { createTaskTable } from './tasks.js'

export type Store = ReturnType<typeof createStore>

/** The tables over one open database, and the transaction that all of a turn's changes share. */
export function createStore(db: Database.Database) {
  const begin = db.prepare('BEGIN IMMEDIATE')
  const commit = db.prepare('COMMIT')
  const rollback = db.prepare('ROLLBACK')
  const loadClock = db.prepare<[], { alive_ms: number }>('SELECT alive_ms FROM service_clock WHERE id = 1')
  const saveClock = db.prepare('INSERT INTO service_clock (id, alive_ms, alive_at) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET alive_ms = excluded.alive_ms, alive_at = excluded.alive_at')
  return {
    tasks: createTaskTable(db),
    attempts: createAttemptTable(db),
    nodes: createNodeTable(db),
    /** The service clock when the coordinator was alive last, in ms; null in a new file. */
    loadClock: (): number | null => loadClock.get()?.alive_ms ?? null,
    saveClock: (ms: number, wallSeconds: number) => saveClock.run(ms, wallSeconds),
    begin: () => begin.run(),
    commit: () => commit.run(),
    /** Undoes the whole transaction; SQLite may have done so by itself (a full disk, an I/O error). */
    rollback() {
      if (db.inTransaction) rollback.run()
    },
  }
}
