import { existsSync } from 'node:fs'
import { createJournalTables } from './journal.js'
import { hasTable } from './open.js'
import { Database } from './sqlite.js'

export type Outbox = ReturnType<typeof openOutbox>

/** Reads the records of a database, beside the core that writes them. @throws SqliteError */
export const openOutbox = (file: string) => outboxOf(new Database(file, { readonly: true, fileMustExist: true }))

/** The same of a file that may be none, or of a version that knew of no journal: null then. @throws SqliteError */
export function readOutbox(file: string): Outbox | null {
  if (!existsSync(file)) return null
  const db = new Database(file, { readonly: true, fileMustExist: true })
  try {
    if (hasTable(db, 'journal_state')) return outboxOf(db)
  } catch (error) {
    db.close()
    throw error
  }
  db.close()
  return null
}

function outboxOf(db: Database) {
  const { newest, get, state } = createJournalTables(db)
  return { newest, record: get, state, close: () => void db.close() }
}
