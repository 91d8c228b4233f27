import { sql } from 'drizzle-orm'
import { check, index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { settlementStates, sightingKinds } from '../rules/settlement.js'

/**
 * The payment of a task that has its result: one row a task, made of what `settlement_intake` has in the commit that completes it. Its transaction is not stored a
 * second time: it is the task's `signed_tx` with `payee` and `output_hash` filled in, and these two never change; its txid, origin and
 * nonce are those of the task. The migration makes it WITHOUT ROWID: then its one b-tree grows at its end. Every result of a paid task writes such a row, so it is short. Times: as in schema.ts.
 */
export const settlements = sqliteTable(
  'settlements',
  {
    task_id: text().primaryKey().notNull(),
    /** The address that is paid. Null where the node had no key that could be paid. */
    payee: text(),
    /** SHA-256 of the output, hex. */
    output_hash: text().notNull(),
    state: text({ enum: settlementStates }).notNull(),
    /** Failed tries in a row. */
    tries: integer().notNull().default(0),
    /** When the relay looks at it next; null when only a block, or an operator, changes it. */
    due_ms: integer(),
    last_error: text(),
    /** The block that tells its state. */
    height: integer(),
    index_block_hash: text(),
    /** 1: nothing changes it any more by itself. */
    final: integer().notNull().default(0),
    posted_at: integer(),
    created_at: integer().notNull(),
    updated_at: integer().notNull(),
  },
  (t) => [
    check('settlement_state', sql`${t.state} in (${sql.raw(settlementStates.map((s) => `'${s}'`).join(', '))})`),
    index('settlements_due')
      .on(t.due_ms)
      .where(sql`due_ms is not null`),
    index('settlements_wrong')
      .on(t.state)
      .where(sql`state = 'hijacked' OR state = 'rejected' OR state = 'replaced' OR state = 'aborted'`),
  ],
)

/** A result that is to be paid, and whose settlement has no row yet. `at`: Unix seconds. */
export interface IntakeEntry {
  task_id: string
  payee: string | null
  at: number
}

/** One row for all results of a turn, in its commit; deleted where each of them gets its row in `settlements`. */
export const settlementIntake = sqliteTable('settlement_intake', {
  id: integer().primaryKey(),
  /** JSON: `[[payee, at, [task_id, ...]], ...]`. One page of the file holds about a hundred. */
  entries: text().notNull(),
})

/**
 * In which blocks a settlement's nonce was used, and by what: on whichever fork, until it is final. What holds is what the
 * canonical chain has.
 */
export const sightings = sqliteTable(
  'settlement_sightings',
  {
    task_id: text().notNull(),
    index_block_hash: text().notNull(),
    height: integer().notNull(),
    found: text({ enum: sightingKinds }).notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.task_id, t.index_block_hash] }),
    check('sighting_found', sql`${t.found} in (${sql.raw(sightingKinds.map((s) => `'${s}'`).join(', '))})`),
  ],
)

/** How many settlements are in each state: changed in the transaction that changes one. */
export const settlementCounts = sqliteTable('settlement_counts', {
  state: text({ enum: settlementStates }).primaryKey().notNull(),
  settlements: integer().notNull(),
})

/** The newest blocks that were announced, on whichever fork. */
export const chainBlocks = sqliteTable(
  'chain_blocks',
  {
    /** 64 hex digits, lower case, as all hashes here. */
    index_block_hash: text().primaryKey().notNull(),
    parent: text().notNull(),
    height: integer().notNull(),
    burn_height: integer().notNull(),
  },
  (t) => [index('chain_blocks_by_height').on(t.height)],
)

/** Addresses that have let a node's key be paid at them. */
export const payeeDelegations = sqliteTable('payee_delegations', {
  /** 33 bytes compressed, lower-case hex. */
  node_key: text().primaryKey().notNull(),
  address: text().notNull(),
  /** What proves it: the key of the address, and its signature of the delegation. */
  public_key: text().notNull(),
  signature: text().notNull(),
  created_at: integer().notNull(),
})

export type DelegationRow = typeof payeeDelegations.$inferSelect
/** With what its task says of its payment: txid (64 hex digits, lower case), who pays, and the nonce of the transaction. */
export type SettlementRow = typeof settlements.$inferSelect & { txid: string; origin: string; nonce: number }
export type SightingRow = typeof sightings.$inferSelect
export type ChainBlockRow = typeof chainBlocks.$inferSelect
