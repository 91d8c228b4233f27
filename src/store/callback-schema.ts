import { sql } from 'drizzle-orm'
import { check, index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { callbackStates } from '../rules/callbacks.js'

/**
 * Where the end of a task is told: one row for each task that names a `callback_url`, written with it. The turn in which the task
 * ends makes the row one that is to be sent, so there is no end without its callback. Times: as in schema.ts.
 */
export const callbacks = sqliteTable(
  'callbacks',
  {
    task_id: text().primaryKey().notNull(),
    /** As it was given, and stored as texts are: what it has after its host may be a secret. */
    url: text().notNull(),
    /** The host in it, in small letters: whose turn it is goes by hosts. */
    host: text().notNull(),
    /** Whose secret signs it: `token:<id>` or `wallet:<address>`; null: the one of the service. */
    signed_for: text(),
    state: text({ enum: callbackStates }).notNull(),
    /** Of the end that is told, the same in all tries. Null before there is one. */
    webhook_id: text(),
    /** When the task ended; null before. */
    ended_at: integer(),
    /** Failed tries. */
    tries: integer().notNull().default(0),
    /** When it is sent next; null when it is not. */
    due_ms: integer(),
    last_error: text(),
    updated_at: integer().notNull(),
  },
  (t) => [
    check('callback_state', sql`${t.state} in (${sql.raw(callbackStates.map((s) => `'${s}'`).join(', '))})`),
    index('callbacks_of_host')
      .on(t.host, t.due_ms)
      .where(sql`due_ms is not null`),
    index('callbacks_by_state').on(t.state, t.task_id),
  ],
)

/** Hosts with callbacks that are to be sent, and when the first of them is: so a host with many of them stands in nobody's way. */
export const callbackHosts = sqliteTable(
  'callback_hosts',
  {
    host: text().primaryKey().notNull(),
    due_ms: integer().notNull(),
  },
  (t) => [index('callback_hosts_due').on(t.due_ms)],
)

/** How many callbacks are in each state: changed in the transaction that changes one. */
export const callbackCounts = sqliteTable('callback_counts', {
  state: text({ enum: callbackStates }).primaryKey().notNull(),
  callbacks: integer().notNull(),
})

/** `url` is as it is stored. */
export type CallbackRow = typeof callbacks.$inferSelect
