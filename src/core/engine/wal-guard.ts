import { basename } from 'node:path'
import type { TimeSource } from '../../lib/clock.js'
import type { Wal } from '../../store/wal.js'

/** How often the size is looked at, ms. */
const CHECK_EVERY_MS = 1000
const MB = 1_000_000

export type WalGuard = ReturnType<typeof createWalGuard>

/**
 * Keeps the write-ahead log from filling the disk: another program that keeps reading holds every page in it that was
 * written since.
 * @param limit bytes; from half of it on there is a warning, above it nothing may be written
 */
export function createWalGuard(wal: Wal, limit: number, time: TimeSource) {
  let lookedAt = -Infinity
  let bytes = 0
  const held = (): string =>
    `the write-ahead log ${basename(wal.file)} has ${Math.ceil(bytes / MB)} MB because another program keeps reading the database; end that program or its transaction`
  return {
    /** Looks at the size, at most once a second, and tries to make it smaller where it matters. Not within a transaction. */
    check() {
      const now = time.monotonic()
      if (now - lookedAt < CHECK_EVERY_MS) return
      lookedAt = now
      bytes = wal.bytes()
      if (bytes * 2 <= limit) return
      wal.empty()
      bytes = wal.bytes()
    },
    /** Why nothing may be written now; null while it may. */
    refusal: (): string | null =>
      bytes > limit ? `${held()}; until then nothing more is written (max_wal_bytes)` : null,
    /** What an operator has to know before it comes to that, as a sentence; null while there is nothing. */
    warning: (): string | null =>
      bytes * 2 > limit ? `${held()}; above ${Math.ceil(limit / MB)} MB (max_wal_bytes) writes are refused` : null,
  }
}
