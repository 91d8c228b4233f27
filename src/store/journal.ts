import { and, eq, gt, lt, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import {
  journalRecords as records,
  journalState as state,
  type JournalRecord,
  type JournalState,
} from './journal-schema.js'
import { hasTable } from './open.js'
import { bound, excluded, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

/** The state's only row. */
const STATE_ROW = 1
/** So many records that are in the log are kept, and so many bytes of them: the log may have lost its end, and is given it again. */
const KEPT_RECORDS = 256
const KEPT_BYTES = 64 * 1024 * 1024

export type JournalTables = ReturnType<typeof createJournalTables>

/** What a file knows of its journal. Every call that writes belongs to the transaction of its caller. */
export function createJournalTables(db: Database) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const bytes = sql<number>`length(${records.body})`
  const readState = orm.select().from(state).where(eq(state.id, STATE_ROW)).prepare()
  const writeState = orm
    .insert(state)
    .values(rowOf(state))
    .onConflictDoUpdate({ target: state.id, set: excluded(state, 'id') })
    .prepare()
  const setRole = orm
    .update(state)
    .set({ role: bound('role'), owner_url: bound('owner_url') })
    .where(eq(state.id, STATE_ROW))
    .prepare()
  const stored = orm
    .update(state)
    .set({ stored_n: bound('n'), stored_seq: bound('seq') })
    .where(eq(state.id, STATE_ROW))
    .prepare()
  const place = orm
    .update(records)
    .set({ seq: bound('seq') })
    .where(and(gt(records.n, placeholder('after')), lte(records.n, placeholder('n'))))
    .prepare()
  const add = db.prepare<[n: number, epoch: number, kind: JournalRecord['kind'], body: Buffer, seq: number | null]>(
    'INSERT INTO journal_records (n, epoch, kind, body, seq) VALUES (?, ?, ?, ?, ?)',
  )
  const addNext = db.prepare<[epoch: number, body: Buffer], { n: number }>(
    "INSERT INTO journal_records (n, epoch, kind, body) SELECT max(n) + 1, ?, 'turn', ? FROM journal_records RETURNING n",
  )
  const newest = db.prepare<[], { n: number; epoch: number }>(
    'SELECT n, epoch FROM journal_records ORDER BY n DESC LIMIT 1',
  )
  const get = orm
    .select()
    .from(records)
    .where(eq(records.n, placeholder('n')))
    .prepare()
  const sizes = orm.select({ n: records.n, bytes }).from(records).orderBy(records.n).prepare()
  const forget = orm
    .delete(records)
    .where(lt(records.n, placeholder('n')))
    .prepare()
  const forgetAll = orm.delete(records).prepare()

  return {
    state: (): JournalState | undefined => readState.get(),
    writeState: (s: Omit<JournalState, 'id'>) => void writeState.run({ id: STATE_ROW, ...s }),
    /** Whether the coordinator of this file owns the work, and who does; nothing where the file belongs to no journal. */
    setRole: (role: JournalState['role'], owner_url: string) => void setRole.run({ role, owner_url }),
    /** The record `n` is in the log, and ends there at `seq`. */
    markStored: (n: number, seq: number) => void stored.run({ n, seq }),
    /** The message at `seq` has the records behind `after` up to `n`. */
    place: (after: number, n: number, seq: number) => void place.run({ after, n, seq }),
    add: (r: JournalRecord) => void add.run(r.n, r.epoch, r.kind, r.body, r.seq),
    /** Behind the newest record, of which there is always one: an ownership begins with its fence. @returns its number */
    addNext(epoch: number, body: Buffer): number {
      const row = addNext.get(epoch, body)
      if (row === undefined) throw new Error('the journal of this file has no record')
      return row.n
    },
    newest: (): { n: number; epoch: number } => newest.get() ?? { n: 0, epoch: 0 },
    get: (n: number): JournalRecord | undefined => get.get({ n }),
    sizes: (): { n: number; bytes: number }[] => sizes.all(),
    /** Forgets the records below `n`. */
    forget: (n: number) => void forget.run({ n }),
    forgetAll: () => void forgetAll.run(),
  }
}

/** Where a file of any version is in its journal; undefined: it belongs to none. */
export const journalStateOf = (db: Database): JournalState | undefined =>
  hasTable(db, 'journal_state') ? createJournalTables(db).state() : undefined

/** Which of the records that a file holds are kept. @param records the tables, of which the sizes are read once */
export function createKeeping(tables: Pick<JournalTables, 'sizes' | 'forget'>) {
  let kept: { n: number; bytes: number }[] | null = null
  let total = 0
  return {
    /** A record was added; those that are in the log up to `storedN` and are not needed there again are forgotten. */
    added(n: number, bytes: number, storedN: number) {
      if (kept === null) {
        kept = tables.sizes()
        total = kept.reduce((sum, one) => sum + one.bytes, 0)
      } else {
        kept.push({ n, bytes })
        total += bytes
      }
      let gone = 0
      for (const one of kept) {
        if (one.n >= storedN || (kept.length - gone <= KEPT_RECORDS && total <= KEPT_BYTES)) break
        total -= one.bytes
        gone++
      }
      if (gone === 0) return
      kept.splice(0, gone)
      const [first] = kept
      if (first !== undefined) tables.forget(first.n)
    },
    /** What was added is not in the file: it was undone. */
    undone() {
      kept = null
    },
  }
}

/** What the owner's transactions add to its journal. */
export function createJournalWriter(db: Database, epoch: number) {
  const tables = createJournalTables(db)
  const keeping = createKeeping(tables)
  /** What the log has, and is not written yet: it comes with the next transaction. */
  let news: { n: number; seq: number }[] = []
  let storedN = tables.state()?.stored_n ?? 0
  let writtenN = storedN
  const writeNews = (): void => {
    for (const { n, seq } of news) {
      tables.place(writtenN, n, seq)
      writtenN = n
    }
    const last = news.at(-1)
    if (last !== undefined) tables.markStored(last.n, last.seq)
    news = []
  }
  return {
    /** Adds what a transaction has written, within it. @returns its number */
    add(body: Buffer): number {
      const n = tables.addNext(epoch, body)
      writeNews()
      keeping.added(n, body.length, storedN)
      return n
    },
    undone: keeping.undone,
    /** The message at `seq` has the records up to `n`; written with the next transaction. */
    acknowledged(n: number, seq: number) {
      news.push({ n, seq })
      storedN = n
    },
    /** The same, written at once: a command waits for it. Not within a transaction. */
    acknowledgedNow(n: number, seq: number) {
      news.push({ n, seq })
      storedN = n
      db.transaction(writeNews).immediate()
    },
  }
}
