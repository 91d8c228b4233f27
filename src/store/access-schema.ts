import { sql } from 'drizzle-orm'
import { check, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import { tokenKinds } from '../wire/token.js'

const oneOf = (names: readonly string[]) => sql.raw(names.map((n) => `'${n}'`).join(', '))

// Times that end in `_at` are Unix seconds, `at_ms` Unix milliseconds, both of the wall clock: what they mean to people
// goes on while the service is down. Commands write these tables beside a running service, which reads them anew.

/** What opens the service. No row is ever deleted: who was given what stays to be seen. */
export const tokens = sqliteTable(
  'tokens',
  {
    id: text().primaryKey().notNull(),
    kind: text({ enum: tokenKinds }).notNull(),
    /** What its maker calls it. */
    name: text().notNull(),
    /** SHA-256 of its text, hex. The text is kept nowhere. */
    hash: text().notNull(),
    /** A JSON array of the addresses it may submit for; null where it is not a user's. */
    owners: text(),
    /** A JSON array. */
    scopes: text().notNull(),
    /** A JSON object with the limits that are its own. */
    limits: text().notNull(),
    /** A JSON array of the networks it may come from; null: from anywhere. */
    cidrs: text(),
    /** The one node it speaks for. */
    node_id: text(),
    /** An invite's: how many nodes it lets in yet. */
    uses_left: integer(),
    created_at: integer().notNull(),
    /** The actor, as the audit names it. */
    created_by: text().notNull(),
    expires_at: integer(),
    revoked_at: integer(),
    /** The id of the token that takes its place. */
    replaced_by: text(),
    /** At most some minutes old. */
    last_used_at: integer(),
  },
  (t) => [check('token_kind', sql`${t.kind} in (${oneOf(tokenKinds)})`)],
)

/** What is known of the keys of nodes beside what their nodes say. */
export const nodeKeys = sqliteTable(
  'node_keys',
  {
    /** 33 bytes compressed, lower-case hex. */
    public_key: text().primaryKey().notNull(),
    state: text({ enum: ['enrolled', 'banned'] }).notNull(),
    /** The only node it may be the key of, when it took the place of another key; null: the node says which. */
    node_id: text(),
    /** The id of the invite that let it in, or the actor who did. */
    invited_by: text(),
    /** The most tasks its node may have at once; null: as many as any. */
    slots_max: integer(),
    first_seen: integer().notNull(),
    changed_at: integer().notNull(),
    /** The actor of the last change. */
    changed_by: text().notNull(),
    /** Why it was banned. */
    reason: text(),
    /** The key that took its place. */
    replaced_by: text(),
    /** Results that its node has brought since its probation began, and when the first came. */
    good_results: integer().notNull().default(0),
    good_since: integer(),
  },
  (t) => [
    check('node_key_state', sql`${t.state} in ('enrolled', 'banned')`),
    uniqueIndex('node_keys_of_node')
      .on(t.node_id)
      .where(sql`state = 'enrolled' and node_id is not null`),
  ],
)

/**
 * Who changed what. Each row carries the hash of the one before it, so that one that is edited, missing or moved is seen;
 * AUTOINCREMENT remembers the last number, so that missing ones at the end are. No row is ever deleted.
 */
export const audit = sqliteTable('audit', {
  seq: integer().primaryKey({ autoIncrement: true }),
  at_ms: integer().notNull(),
  actor: text().notNull(),
  /** The address it came from; null for a command on the file. */
  address: text(),
  action: text().notNull(),
  /** The id of what was changed. */
  subject: text(),
  /** A JSON object; never a text of a task, never a secret. */
  detail: text().notNull(),
  request_id: text(),
  outcome: text({ enum: ['done', 'refused'] }).notNull(),
  prev_hash: text().notNull(),
  hash: text().notNull(),
})

/** What an owner has submitted in a day, so that a restart gives nobody a new day. */
export const quotaDays = sqliteTable(
  'quota_days',
  {
    owner: text().notNull(),
    /** Days from 1970-01-01, UTC. */
    day: integer().notNull(),
    tasks: integer().notNull(),
    /** The sum of infer_fee, micro-STX; at most 2^53 - 1. */
    fee: integer().notNull(),
    /** Of their texts. */
    bytes: integer().notNull(),
  },
  // The day first: old ones are deleted by it.
  (t) => [primaryKey({ columns: [t.day, t.owner] })],
)

export type TokenRow = typeof tokens.$inferSelect
export type NodeKeyRow = typeof nodeKeys.$inferSelect
export type AuditRow = typeof audit.$inferSelect
export type QuotaRow = typeof quotaDays.$inferSelect
