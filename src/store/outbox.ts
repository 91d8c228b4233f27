import { createJournalTables } from './journal.js'
import { Database } from './sqlite.js'

/** Reads the records of a database, beside the core that writes them. @throws SqliteError */
export function openOutbox(file: string) {
  const db = new Database(file, { readonly: true, fileMustExist: true })
  const { newest, get, state } = createJournalTables(db)
  return { newest, record: get, state, close: () => void db.close() }
}
