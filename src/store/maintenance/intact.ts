import { statSync } from 'node:fs'
import { isDamage } from '../faults.js'
import { askThread } from './aside.js'
import { Database, leaveChecksOut } from '../sqlite.js'

/** Larger files are looked at in a thread of their own, bytes: up to here it takes about a tenth of a second. */
const MAX_AT_ONCE_BYTES = 32 * 1024 * 1024

/** Reads a whole database. @returns what is damaged; null: nothing, or it cannot be opened for another reason, which its opening tells */
export function readForDamage(file: string): string | null {
  let db: Database | undefined
  try {
    db = new Database(file, { readonly: true, fileMustExist: true })
    leaveChecksOut(db) // a word that does not belong in a column is no damage
    const says = db.pragma('quick_check(1)', { simple: true })
    return says === 'ok' ? null : String(says).replaceAll('\n', ' ')
  } catch (error) {
    return isDamage(error) && error instanceof Error ? error.message : null
  } finally {
    db?.close()
  }
}

/** The same beside whatever else the process does. @throws StoreError when the thread has failed */
export function findDamage(file: string): Promise<string | null> {
  const { size } = statSync(file)
  if (size <= MAX_AT_ONCE_BYTES) return Promise.resolve(readForDamage(file))
  return askThread(new URL('./intact-thread.js', import.meta.url), file)
}
