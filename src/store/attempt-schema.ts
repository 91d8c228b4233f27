import { sql } from 'drizzle-orm'
import { check, integer, primaryKey, sqliteTable, sqliteView, text } from 'drizzle-orm/sqlite-core'
import { attemptEndNames, faults } from '../rules/lifecycle.js'
import { inferenceTasks, oneOf } from './schema.js'

const openColumns = () => ({
  task_id: text().notNull(),
  attempt: integer().notNull(),
  node_id: text().notNull(),
  /** Taken by a poll (begun at once), not pushed. */
  polled: integer().notNull(),
  /** How often it was handed to a poll. */
  handouts: integer().notNull(),
  assigned_ms: integer().notNull(),
  /** Null until it was begun: accepted, or handed to a poll. */
  accepted_ms: integer(),
  lease_ms: integer().notNull(),
  /** The same times as a calendar has them, Unix seconds: the service clock stands still while we are down. */
  assigned_at: integer().notNull().default(0),
  accepted_at: integer(),
  /** The epoch of its node when it was given the attempt: nobody else who comes by that name has a say in it. */
  node_epoch: integer().notNull().default(0),
})

const columns = () => ({
  ...openColumns(),
  /** Null while it is open. */
  ended_ms: integer(),
  ended_at: integer(),
  end: text({ enum: attemptEndNames }),
  /** Whose fault the end was; null where it was nobody's, or there is none. */
  fault: text({ enum: faults }),
  error: text(),
  prompt_tokens: integer(),
  completion_tokens: integer(),
  /** When its first piece of text came, where somebody read it as it came. */
  first_word_ms: integer(),
})

/** One row per assignment, written when it ends. */
export const endedAttempts = sqliteTable('ended_attempts', columns(), (t) => [
  primaryKey({ columns: [t.task_id, t.attempt] }),
  check('attempt_fault', sql`${t.fault} is null or ${t.fault} in (${oneOf(faults)})`),
  check('attempt_end', sql`${t.end} is null or ${t.end} in (${oneOf(attemptEndNames)})`),
])

const t = inferenceTasks

/** The open attempt of each task in progress: columns of its row. Found by `tasks_in_progress`. */
export const openAttempts = sqliteView('open_attempts', openColumns()).as(
  sql`SELECT ${t.task_id} AS task_id, ${t.attempt} AS attempt, ${t.inference_node_id} AS node_id, ${t.open_polled} AS polled,
    ${t.open_handouts} AS handouts, ${t.open_assigned_ms} AS assigned_ms,
    CASE ${t.open_begun} WHEN 1 THEN ${t.open_accepted_ms} END AS accepted_ms, ${t.open_lease_ms} AS lease_ms,
    ${t.open_assigned_at} AS assigned_at, CASE ${t.open_begun} WHEN 1 THEN ${t.open_accepted_at} END AS accepted_at,
    ${t.open_node_epoch} AS node_epoch
  FROM ${t} WHERE ${t.open_lease_ms} IS NOT NULL`,
)

const e = endedAttempts
const o = openAttempts

/**
 * Every assignment, ended or open: the one place that knows both, for the attempts of one task. What is asked of the open ones of all
 * tasks is asked of `open_attempts`: to find them here, all that have ended would be looked at.
 */
export const attempts = sqliteView('attempts', columns()).as(
  sql`SELECT ${e.task_id}, ${e.attempt}, ${e.node_id}, ${e.polled}, ${e.handouts}, ${e.assigned_ms}, ${e.accepted_ms}, ${e.lease_ms},
    ${e.ended_ms}, ${e.end}, ${e.fault}, ${e.error}, ${e.assigned_at}, ${e.accepted_at}, ${e.ended_at}, ${e.prompt_tokens},
    ${e.completion_tokens}, ${e.node_epoch}, ${e.first_word_ms}
  FROM ${e}
  UNION ALL SELECT ${o.task_id}, ${o.attempt}, ${o.node_id}, ${o.polled}, ${o.handouts}, ${o.assigned_ms}, ${o.accepted_ms}, ${o.lease_ms},
    NULL, NULL, NULL, NULL, ${o.assigned_at}, ${o.accepted_at}, NULL, NULL, NULL, ${o.node_epoch}, NULL
  FROM ${o}`,
)

export type AttemptRow = typeof endedAttempts.$inferSelect
/** An attempt that has not ended. */
export type OpenAttempt = typeof openAttempts.$inferSelect
