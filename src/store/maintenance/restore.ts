import { count } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { chmodSync, chownSync, existsSync, linkSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { checkDatabase } from './check.js'
import { copyDatabase, removeCopy, stampOf, syncFolder } from './copy.js'
import { acquireLock, StoreError } from '../open.js'
import { inferenceTasks } from '../schema.js'
import { Database } from '../sqlite.js'

export interface Restored {
  /** The size of the database now, in bytes. */
  bytes: number
  tasks: number
  /** Where the database lies that was there before; null when there was none. */
  kept: string | null
}

/**
 * Puts a copy of a backup in the place of a database that no coordinator runs on. The backup is verified first and stays
 * as it is; the old database stays beside the new one under a dated name.
 * @param wall the time for that name, ms since 1970
 * @throws StoreError when nothing was changed: a coordinator is running, or the backup is not sound
 */
export async function restoreBackup(backup: string, database: string, wall: number): Promise<Restored> {
  if (!existsSync(backup)) throw new StoreError(`${backup}: there is no such backup`)
  if (existsSync(database) && realpathSync(backup) === realpathSync(database))
    throw new StoreError(`${backup}: this is the database itself; name a backup of it`)
  const owner = acquireLock(database)
  try {
    const file = existsSync(database) ? realpathSync(database) : resolve(database)
    const partial = `${file}.restoring`
    removeCopy(partial) // of a restore that was cut off
    const { bytes, tasks } = await readBackup(backup, partial)
    try {
      giveToOwner(partial, file)
      return { bytes, tasks, kept: replace(file, partial, `${file}.replaced-${stampOf(wall)}`) }
    } catch (error) {
      removeCopy(partial)
      throw new StoreError(
        `${file}: the backup cannot be put in its place (${error instanceof Error ? error.message : String(error)}); check the rights of its folder and try again`,
      )
    }
  } finally {
    owner.close()
  }
}

/** Through SQLite, so that a log beside the backup is heeded. */
async function readBackup(backup: string, to: string): Promise<{ bytes: number; tasks: number }> {
  refuseUnsound(backup)
  const db = new Database(backup, { readonly: true, fileMustExist: true })
  try {
    const bytes = await copyDatabase({ db, to, verify: checkDatabase, pages: 10_000 })
    return { bytes, tasks: drizzle(db).select({ n: count() }).from(inferenceTasks).get()?.n ?? 0 }
  } finally {
    db.close()
  }
}

function refuseUnsound(backup: string): void {
  const broken = checkDatabase(backup).find((f) => !f.ok)
  if (broken !== undefined)
    throw new StoreError(
      `${backup}: this backup is not sound (${broken.rule}: ${broken.offenders[0] ?? ''}); choose another one`,
    )
}

/** Whoever restores, the service must be able to write the file afterwards. */
function giveToOwner(copy: string, file: string): void {
  const old = statSync(file, { throwIfNoEntry: false })
  if (old === undefined) return
  chmodSync(copy, old.mode)
  if (old.uid !== statSync(copy).uid || old.gid !== statSync(copy).gid) chownSync(copy, old.uid, old.gid)
}

/** The old files get their second names first, so that at every moment there is a database in the place. */
function replace(file: string, by: string, keepAs: string): string | null {
  const logs = ['-wal', '-journal'].filter((end) => existsSync(file + end))
  const there = existsSync(file)
  for (const end of there ? ['', ...logs] : logs) linkSync(file + end, keepAs + end)
  // The old log must not meet the new database: it would be played back into it.
  syncFolder(dirname(file)) // the old database is safe under its new name before anything of it goes
  for (const end of [...logs, '-shm']) rmSync(file + end, { force: true })
  renameSync(by, file)
  syncFolder(dirname(file))
  return there ? keepAs : null
}
