import { closeSync, existsSync, fsyncSync, openSync, rmSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Finding } from './check.js'
import { codeOf } from '../faults.js'
import { explainOpen, StoreError } from '../open.js'
import { Database } from '../sqlite.js'

/** So many pages are copied between two turns of the event loop: 0.4 MB, well under a millisecond. */
const STEP_PAGES = 100
/** So many copied pages are on their way to the disk at once: what is left for the end holds nothing up. */
const FLUSH_PAGES = 4000

export interface CopyParts {
  /** Copied through this connection: what it writes meanwhile is copied too, what another one writes begins the copy anew. */
  db: Database
  /** The copy, a name that is not in use. Removed when anything fails. */
  to: string
  /** Looks at the finished copy. */
  verify(file: string): Finding[] | Promise<Finding[]>
  /** Called between steps; throws to give the copy up. */
  heed?(): void
  /** The pages of a step. */
  pages?: number
}

/**
 * Copies a database that is in use, verifies the copy and makes it durable: one file, without a log beside it.
 * @returns the size of the copy in bytes
 * @throws StoreError when it cannot be written or the copy breaks a rule; what `heed` throws
 */
export async function copyDatabase({ db, to, verify, heed, pages = STEP_PAGES }: CopyParts): Promise<number> {
  if (!existsSync(dirname(to)))
    throw new StoreError(`${dirname(to)}: there is no such folder; make it, or choose another`)
  try {
    await copyPages(db, to, pages, heed)
    foldUp(to)
    heed?.()
    const broken = (await verify(to)).find((f) => !f.ok)
    if (broken !== undefined)
      throw new StoreError(
        `${db.name}: the copy is not sound (${broken.rule}: ${broken.offenders[0] ?? ''}); look with "stacks-signer check"`,
      )
    heed?.()
    await flush(to)
    return statSync(to).size
  } catch (error) {
    removeCopy(to)
    throw codeOf(error).startsWith('SQLITE_') ? new StoreError(explainOpen(to, error)) : error
  }
}

async function copyPages(db: Database, to: string, pages: number, heed?: () => void): Promise<void> {
  let flushed = 0
  let flushing = false
  let failed: unknown = null
  await db.backup(to, {
    progress({ totalPages, remainingPages }) {
      heed?.()
      if (failed !== null) throw failed instanceof Error ? failed : new Error('the copy cannot be written')
      const copied = totalPages - remainingPages
      if (!flushing && copied - flushed >= FLUSH_PAGES) {
        flushing = true
        flushed = copied
        flush(to).then(
          () => (flushing = false),
          (error: unknown) => (failed = error),
        )
      }
      return flushing && copied - flushed >= FLUSH_PAGES ? 1 : pages // the disk does not follow: wait for it
    },
  })
}

/** A copy of a database in WAL mode would get a log of its own beside it when it is looked at. */
function foldUp(file: string): void {
  const db = new Database(file, { fileMustExist: true })
  try {
    db.pragma('journal_mode = DELETE')
  } finally {
    db.close()
  }
}

async function flush(file: string): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes what was renamed or linked in a folder durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Removes a copy that was not finished, with whatever SQLite left beside it. */
export function removeCopy(file: string): void {
  for (const end of ['', '-journal', '-wal', '-shm']) rmSync(file + end, { force: true })
}

/** A time as it stands in the names of files: sorts by age, and is one word for every shell. */
export const stampOf = (wall: number): string => new Date(wall).toISOString().replaceAll(':', '-')
