import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

// What receipts tell of nodes beside tasks and attempts: it stays when a node gets another key, or is forgotten.

/**
 * Under which key the results of a node came: a row when one comes under another key than the result of the same node before it.
 * So there are no more of them than results, and as a rule one a node. No row is ever deleted.
 */
export const resultKeys = sqliteTable(
  'result_keys',
  {
    node_id: text().notNull(),
    /** Of the node: the name may have been in other hands before. */
    node_epoch: integer().notNull(),
    /** When the first of these results came; as `ended_ms` of its attempt. */
    since_ms: integer().notNull(),
    /** 33 bytes compressed, lower-case hex; null where the node was registered with something that is no key. */
    public_key: text(),
    /** 1: a session was opened with it by then. */
    proven: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.node_id, t.node_epoch, t.since_ms] })],
)

/** The signatures of results, where their nodes have signed them: verified, and made in the commit that completes the task. */
export const resultSignatures = sqliteTable('result_signatures', {
  task_id: text().primaryKey().notNull(),
  attempt: integer().notNull(),
  /** 64 bytes compact with a low s, lower-case hex. */
  signature: text().notNull(),
})

export type ResultKeyRow = typeof resultKeys.$inferSelect
export type ResultSignatureRow = typeof resultSignatures.$inferSelect
