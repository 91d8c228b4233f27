import { closeSync, fdatasync, fdatasyncSync, openSync } from 'node:fs'
import type { Database } from './sqlite.js'
import { logOf } from './wal.js'

/** A sync that takes longer than this is not waited for in the thread, ms. */
const SLOW_SYNC_MS = 2
/** Where syncs run beside the thread one of so many is waited for all the same: only so the time of the disk alone is known. */
const MEASURED_EVERY = 64
/** How much the newest measured sync counts in the average. */
const NEWEST_WEIGHT = 0.2

/** How what was committed has become durable. */
export interface Synced {
  /** How long the sync took, ms; 0: none was needed. */
  ms: number
  /** Whether the thread has done other things meanwhile. */
  beside: boolean
}

export type WalSync = ReturnType<typeof createWalSync>

/** The log of the database cannot be made durable. */
export class SyncError extends Error {
  constructor(file: string, cause: Error) {
    super(
      `${file} could not be made durable (${cause.message}): what was written since the last sync was acknowledged to nobody. Look for what is wrong with the disk, and start the service again`,
      { cause },
    )
  }
}

/**
 * Makes commits durable, instead of SQLite, which does not wait for the disk from here on (synchronous=NORMAL) but where it moves its log
 * into the file. Where the disk is quick, in the thread that calls; where it is slow, in a thread beside it: one sync at a time, each
 * for all that was committed when it began.
 * @param db in WAL mode, with something in its log @param now ms, monotonic
 * @param failed told once that a sync has failed. What was committed cannot be taken back, so nothing is answered any more: it has to end the process
 */
export function createWalSync(db: Database, now: () => number, failed: (error: SyncError) => void) {
  const file = logOf(db)
  // No lock is on the log itself, so that another descriptor of it may be closed; one of the database would take its locks along.
  const fd = openSync(file, 'r+')
  db.pragma('synchronous = NORMAL')
  let state: 'idle' | 'syncing' | 'telling' | 'failed' = 'idle'
  /** How long a sync takes, ms. */
  let mean = 0
  let sinceMeasured = 0
  /** What waits for the next sync, or only for those before it, in order. */
  let waiting: { committed: boolean; then: (synced: Synced) => void }[] = []
  let whenIdle: (() => void) | null = null

  const fail = (cause: Error): void => {
    state = 'failed'
    failed(new SyncError(file, cause))
  }
  const hasCommits = (): boolean => waiting.some(({ committed }) => committed)
  const syncBeside = (): void => {
    state = 'syncing'
    const covered = waiting
    waiting = []
    const began = now()
    fdatasync(fd, (error) => {
      if (error !== null) return fail(error)
      const synced = { ms: now() - began, beside: true }
      // The next one runs while it is told of this one.
      if (hasCommits()) syncBeside()
      else state = 'telling'
      for (const { then } of covered) then(synced)
      tellRest()
    })
  }
  /** What has come while it was told of a sync waits in its turn. */
  const tellRest = (): void => {
    while (state === 'telling') {
      if (hasCommits()) return syncBeside()
      const next = waiting.shift()
      if (next === undefined) {
        state = 'idle'
        whenIdle?.()
      } else next.then({ ms: 0, beside: true })
    }
  }
  const syncHere = (): number | null => {
    const began = now()
    try {
      fdatasyncSync(fd)
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)))
      return null
    }
    const ms = now() - began
    mean = mean === 0 ? ms : mean + NEWEST_WEIGHT * (ms - mean)
    sinceMeasured = 0
    return ms
  }

  return {
    /**
     * Calls `then` once all that was committed up to now is durable, at once or later, in the order of the calls; never after a failure.
     * @param committed whether something was since the last call
     */
    after(committed: boolean, then: (synced: Synced) => void): void {
      if (state === 'failed') return
      if (state === 'idle' && !committed) return then({ ms: 0, beside: false })
      if (state === 'idle' && (mean <= SLOW_SYNC_MS || ++sinceMeasured >= MEASURED_EVERY)) {
        const ms = syncHere()
        if (ms !== null) then({ ms, beside: false })
        return
      }
      waiting.push({ committed, then })
      if (state === 'idle') syncBeside()
    },
    /** From here on SQLite waits for the disk itself again. Resolves when nothing waits any more. */
    async close(): Promise<void> {
      if (state === 'syncing' || state === 'telling') await new Promise<void>((resolve) => (whenIdle = resolve))
      closeSync(fd)
      db.pragma('synchronous = FULL')
    },
  }
}
