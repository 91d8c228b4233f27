import { sql } from 'drizzle-orm'
import { blob, check, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

// What a file knows of the journal that it is one copy of. Both tables are empty where no cluster is configured, and belong to one
// file alone: what is in them is told to nobody.

/** One row: where this file is in its journal. */
export const journalState = sqliteTable('journal_state', {
  id: integer().primaryKey(),
  /** The journal that the file belongs to. */
  journal_id: text().notNull(),
  /** Whether the coordinator of this file owns the work or follows, and who owns it: commands ask for that. */
  role: text({ enum: ['owner', 'follower'] }).notNull(),
  owner_url: text().notNull(),
  /** The newest record that is known to be in the log, and the sequence there of the message that ends it. */
  stored_n: integer().notNull(),
  stored_seq: integer().notNull(),
})

/**
 * The newest records: what a transaction wrote, in the order of the transactions, written in the same transaction. Those that are
 * not in the log yet are sent from here after a crash; a few more are kept for a log that has lost its end.
 */
export const journalRecords = sqliteTable(
  'journal_records',
  {
    /** From 1, without gaps. */
    n: integer().primaryKey(),
    /** Of the ownership that it was written in. */
    epoch: integer().notNull(),
    kind: text({ enum: ['turn', 'fence'] }).notNull(),
    body: blob({ mode: 'buffer' }).notNull(),
    /** Where in the log the message is that ends it; null: it is not known to be there. Records of one message have one place. */
    seq: integer(),
  },
  (t) => [check('journal_record_kind', sql`${t.kind} in ('turn', 'fence')`)],
)

export type JournalState = typeof journalState.$inferSelect
export type JournalRecord = typeof journalRecords.$inferSelect
