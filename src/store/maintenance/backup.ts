import { existsSync, realpathSync, renameSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { Abandoned } from './aside.js'
import { checkAside } from './check-aside.js'
import { checkDatabase } from './check.js'
import { copyDatabase, removeCopy, syncFolder } from './copy.js'
import { codeOf } from '../faults.js'
import { explainOpen, StoreError } from '../open.js'
import { Database } from '../sqlite.js'
import { logOf } from '../wal.js'

/** The pages of a step where nothing else waits for the process: 40 MB. */
const LARGE_STEP_PAGES = 10_000
/** The same where other work goes on: 4 MB, a few milliseconds; less would give the log longer to grow. */
const BESIDE_STEP_PAGES = 1000

/**
 * Makes a backup of a database from outside of the service, which may run. The copy is of one moment, for which it keeps
 * the service's write-ahead log from being emptied; it gives up before that log becomes a burden.
 * @param maxWalBytes the service's limit
 * @param signal where other work goes on in this process: aborted, the backup is given up, and leaves nothing behind
 * @returns the size of the backup in bytes
 * @throws StoreError; Abandoned
 */
export async function backUp(
  database: string,
  file: string,
  { replace, maxWalBytes, signal }: { replace: boolean; maxWalBytes: number; signal?: AbortSignal },
): Promise<number> {
  if (!existsSync(database)) throw new StoreError(`${database}: there is no such database; name it with --database`)
  refuseTarget(database, file, replace)
  let db: Database | undefined
  const partial = `${file}.${process.pid}.partial`
  try {
    db = new Database(database, { readonly: true, fileMustExist: true })
    const log = logOf(db)
    // Without a transaction every commit of the service would begin the copy anew.
    db.exec('BEGIN')
    db.prepare('SELECT count(*) FROM sqlite_schema').get()
    const bytes = await copyDatabase({
      db,
      to: partial,
      pages: signal === undefined ? LARGE_STEP_PAGES : BESIDE_STEP_PAGES,
      heed() {
        if (signal?.aborted === true) throw new Abandoned('the service stops')
        const wal = statSync(log, { throwIfNoEntry: false })?.size ?? 0
        if (wal * 2 > maxWalBytes)
          throw new StoreError(
            `${database}: the service writes so much that its write-ahead log grew beyond half of max_wal_bytes during the backup; set backup_dir, so that the service makes backups itself`,
          )
      },
      verify(copy) {
        db?.exec('COMMIT') // the check of a large copy takes long, and needs the log no more
        return signal === undefined ? checkDatabase(copy) : checkAside(copy, signal)
      },
    })
    refuseTarget(database, file, replace)
    renameSync(partial, file)
    syncFolder(dirname(resolve(file)))
    return bytes
  } catch (error) {
    throw codeOf(error).startsWith('SQLITE_') ? new StoreError(explainOpen(database, error)) : error
  } finally {
    removeCopy(partial)
    db?.close()
  }
}

function refuseTarget(database: string, file: string, replace: boolean): void {
  const folder = dirname(resolve(file))
  if (!existsSync(folder)) throw new StoreError(`${folder}: there is no such folder; make it, or choose another`)
  const real = realpathSync(database)
  const target = existsSync(file) ? realpathSync(file) : join(realpathSync(folder), basename(file))
  if (['', '-wal', '-shm', '-journal', '.lock'].some((end) => target === real + end))
    throw new StoreError(`${file}: this is the database itself; choose another file for the backup`)
  if (existsSync(`${file}-wal`))
    throw new StoreError(
      `${file}: a write-ahead log lies beside it, so it may be in use as a database; choose another file`,
    )
  if (!replace && existsSync(file))
    throw new StoreError(`${file}: there is such a file already; choose another, or overwrite it with --force`)
}
