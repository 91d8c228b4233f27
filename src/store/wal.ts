import { closeSync, fdatasyncSync, openSync, readSync, realpathSync, statSync, writeSync } from 'node:fs'
import type { Database } from './sqlite.js'

/** How much of a log is read and written at once, bytes. */
const PIECE = 1024 * 1024

/** The log of an open database: beside the file itself, also where a link leads to it. */
export const logOf = ({ memory, name }: Database): string => `${memory ? name : realpathSync(name)}-wal`

export type Wal = ReturnType<typeof createWal>

/** The write-ahead log beside the file. It grows without end while another program keeps a read transaction open. */
export function createWal(db: Database) {
  const file = logOf(db)
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

/**
 * Writes the log that a process has left over itself, and syncs it. When a sync has failed the system may go on showing what the disk does
 * not have, and take it for written: nothing that comes behind it would be durable.
 */
export function renewWal(db: Database): void {
  const file = logOf(db)
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) return
  db.exec('BEGIN IMMEDIATE') // nobody else writes it meanwhile
  const fd = openSync(file, 'r+')
  try {
    const piece = Buffer.alloc(PIECE)
    for (let at = 0, length; (length = readSync(fd, piece, 0, PIECE, at)) > 0;)
      at += writeSync(fd, piece, 0, length, at)
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
    db.exec('ROLLBACK')
  }
}
