import { statSync } from 'node:fs'
import type { Database } from './sqlite.js'

export type Wal = ReturnType<typeof createWal>

/** The write-ahead log beside the file. It grows without end while another program keeps a read transaction open. */
export function createWal(db: Database) {
  const file = `${db.name}-wal`
  return {
    file,
    /** Its size in bytes; 0 when there is none. */
    bytes: (): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0,
    /**
     * Moves what it holds into the database and empties it, as far as readers allow, without waiting for them. Not within
     * a transaction.
     * @throws SqliteError when the disk is full or broken
     */
    empty() {
      const wait = Number(db.pragma('busy_timeout', { simple: true }))
      db.pragma('busy_timeout = 0')
      try {
        db.pragma('wal_checkpoint(TRUNCATE)')
      } finally {
        db.pragma(`busy_timeout = ${wait}`)
      }
    },
  }
}
