import { sql } from 'drizzle-orm'
import { check, index, integer, real, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import { taskStatuses } from '../rules/lifecycle.js'
import { nodeStatus, taskErrorCode } from '../wire/fields.js'

export const oneOf = (names: readonly string[]) => sql.raw(names.map((n) => `'${n}'`).join(', '))

/** The indexes that statements name. */
export const indexes = {
  tasksByAge: 'tasks_by_age',
  tasksNotDone: 'tasks_not_done',
  tasksInProgress: 'tasks_in_progress',
  tasksOfOwner: 'tasks_of_owner',
  tasksToJoin: 'tasks_to_join',
} as const

/** So much of the end of an address tells owners apart: 60 bits, which nobody makes to be those of another. */
const OWNER_KEY_CHARS = 12
/** What a task is found by among those of its owner. In code points, as SQLite has cut older rows: an owner may be any text. */
export function ownerKey(owner: string): string {
  const end = owner.slice(-OWNER_KEY_CHARS)
  return /[\ud800-\udfff]/.test(end) ? [...owner].slice(-OWNER_KEY_CHARS).join('') : end
}

/**
 * Property names are the column names, so that a row read by a raw statement has the type that is inferred here.
 * `created_at`, `updated_at`, `completed_at`, `last_heartbeat`: Unix seconds. Columns that end in `_ms` are times of the
 * service clock (lib/clock.ts) in milliseconds.
 */
export const inferenceTasks = sqliteTable(
  'inference_tasks',
  {
    task_id: text().primaryKey().notNull(),
    user_address: text().notNull(),
    user_input: text().notNull(),
    context: text().notNull(),
    fee: integer().notNull(),
    nonce: integer().notNull(),
    infer_fee: integer().notNull(),
    max_infer_time: integer().notNull(),
    /** The family. */
    model_type: text().notNull(),
    /** As the submitter wrote it. */
    model_name: text().notNull(),
    /** The name in the form it is compared in. */
    model_key: text().notNull(),
    signed_tx: text(),
    signer_public_key: text(),
    status: text({ enum: taskStatuses }).notNull(),
    /** The number of the newest attempt; 0 before the first. */
    attempt: integer().notNull().default(0),
    /** Attempts up to this one were before the last retry, and no longer count against `max_attempts`. */
    retried_after: integer().notNull().default(0),
    created_at: integer().notNull(),
    updated_at: integer().notNull(),
    /** When it began to wait; age and the longest wait count from here. */
    queued_ms: integer().notNull(),
    /** Ready tasks go by this, higher first: `infer_fee`, or STARVED for one that has waited too long. */
    queue_rank: integer().notNull(),
    inference_node_id: text(),
    output: text(),
    confidence: real(),
    completed_at: integer(),
    error: text(),
    /** 64 hex digits, lower case; what files of the original service have here may be anything. */
    txid: text(),
    /** See `ownerKey`: a third of an address, of which the row and the index are made smaller. */
    owner_key: text(),
    /** 1: it is in the run of an earlier task of its owner (owner-runs.ts), and found from that; null: found by the index itself. */
    in_run: integer(),
    /** The address that its submitter was proven to have, empty for who showed nothing; null where nobody had to prove anything. */
    owner_id: text().generatedAlwaysAs(sql`case when owner_key <> '' then user_address else owner_key end`, {
      mode: 'virtual',
    }),
    /** Its texts came encrypted for the signer, and are stored so. */
    is_encrypted: integer().notNull().default(0),
    /** The keys of its encrypted texts, wrapped under one that follows from the signer's: what they open costs no ECDH then. */
    text_keys: text(),
    /** What is kept of both texts as they came, to know the same ones again; null where they are stored as they came. */
    texts_digest: text(),
    /** The nonce of the transaction that pays for it, whose origin is `user_address`; null where the chain is not looked at. */
    paid_nonce: integer(),
    /** How its answer is to be made, JSON as it was given; and the features that a node needs for it (wire/params). */
    params: text(),
    needs: integer().notNull().default(0),
    /** What its result says beside output and confidence: JSON of finish_reason, tool_calls, reasoning and usage. */
    result_notes: text(),
    /** What its node said was wrong with the task itself, where that was why it failed. */
    error_code: text({ enum: taskErrorCode.options }),
    /** Of a request that a client may repeat: a hash of who asked, and what. */
    join_key: text(),
    /** 1: its payment is for this task and no other; 0: the task came to nothing, and another may have it. Null where it is not paid. */
    holds_payment: integer(),
    /** The trace that its submission is a part of, W3C `traceparent` in the form of version 00; null: of none. */
    traceparent: text(),
    /**
     * Its open attempt, while it is in progress; else null. Read through the view `attempts` (attempt-schema.ts), which says what is what.
     * Written with the task itself; only when the attempt ends it gets a row of its own.
     */
    open_lease_ms: integer(),
    open_polled: integer(),
    open_handouts: integer(),
    open_node_epoch: integer(),
    open_assigned_ms: integer(),
    open_assigned_at: integer(),
    /**
     * 1: accepted, at the times that follow. Until then 0, and they are those of its assignment: so that the row stays as long as it
     * was, and SQLite changes it in its place without writing the texts in it again.
     */
    open_begun: integer(),
    open_accepted_ms: integer(),
    open_accepted_at: integer(),
  },
  (t) => [
    check('task_status', sql`${t.status} in (${oneOf(taskStatuses)})`),
    index('tasks_by_model')
      .on(t.model_key, sql`${t.queue_rank} desc`)
      .where(sql`status = 'pending'`),
    index('tasks_by_family')
      .on(t.model_type, sql`${t.queue_rank} desc`)
      .where(sql`status = 'pending'`),
    index(indexes.tasksByAge)
      .on(t.queued_ms, t.queue_rank)
      .where(sql`status = 'pending'`),
    // For the list of what went wrong. With OR, not IN: only so SQLite sees that the index serves one of them.
    index(indexes.tasksNotDone)
      .on(t.status)
      .where(sql`status = 'failed' OR status = 'timeout'`),
    // The first task of each run of an owner. Where nobody proves who he is, it costs nothing: such a task is not in it.
    index(indexes.tasksOfOwner)
      .on(t.owner_key)
      .where(sql`owner_key > '' AND in_run is null`),
    index(indexes.tasksToJoin)
      .on(t.join_key)
      .where(sql`join_key is not null`),
    // One payment is for one task that has not come to nothing. Not by its status: whatever changes that would write the index again.
    uniqueIndex('tasks_by_payment')
      .on(t.user_address, t.paid_nonce)
      .where(sql`holds_payment = 1`),
    index('tasks_by_txid')
      .on(t.txid)
      .where(sql`paid_nonce is not null`),
    index(indexes.tasksInProgress)
      .on(t.open_lease_ms)
      .where(sql`open_lease_ms is not null`),
  ],
)

export const inferenceNodes = sqliteTable(
  'inference_nodes',
  {
    node_id: text().primaryKey().notNull(),
    endpoint: text().notNull(),
    /** As given, until a signed hello proves one. */
    public_key: text().notNull(),
    key_proven: integer().notNull(),
    node_address: text(),
    /** What the node declared last. */
    status: text({ enum: nodeStatus.options }).notNull(),
    /** A JSON array of names. */
    supported_models: text().notNull(),
    performance_score: real().notNull(),
    max_concurrent_tasks: integer().notNull(),
    transport: text({ enum: ['websocket', 'rest'] }).notNull(),
    agent: text(),
    last_heartbeat: integer().notNull(),
    last_seen_ms: integer().notNull(),
    /** Decayed counts of how attempts ended, and the mean seconds of a completed one. */
    successes: real().notNull().default(0),
    failures: real().notNull().default(0),
    mean_seconds: real().notNull().default(0),
    /** Attempts in a row that failed through its own fault. */
    failures_in_row: integer().notNull().default(0),
    /** It gets nothing new before this time; 0 = it is not cooled down. */
    cooled_until_ms: integer().notNull().default(0),
    /** An operator has drained it: it gets nothing new until it is resumed. */
    drained: integer().notNull().default(0),
    /** Another number, and a higher one, each time the name gets into new hands. */
    epoch: integer().notNull().default(0),
  },
  (t) => [check('node_status', sql`${t.status} in (${oneOf(nodeStatus.options)})`)],
)

/** One row: the epoch that was given last, to whichever node. None is ever given twice, so no name has to be remembered for it. */
export const nodeEpoch = sqliteTable('node_epoch', {
  id: integer().primaryKey(),
  last: integer().notNull(),
})

/** The names of forgotten nodes that had proven a key: until its time is over only that key gets the name. */
export const forgottenNodes = sqliteTable(
  'forgotten_nodes',
  {
    node_id: text().primaryKey().notNull(),
    /** 33 bytes compressed, lower-case hex. */
    public_key: text().notNull(),
    kept_until_ms: integer().notNull(),
  },
  (t) => [index('forgotten_nodes_by_time').on(t.kept_until_ms)],
)

/** The ends of tasks that were opened again, so that a history holds every end. */
export const reopenings = sqliteTable(
  'reopenings',
  {
    task_id: text().notNull(),
    /** The number of the newest attempt at that end. */
    attempt: integer().notNull(),
    status: text({ enum: taskStatuses }).notNull(),
    error: text(),
    ended_at: integer().notNull(),
    reopened_at: integer().notNull(),
  },
  (t) => [index('reopenings_of_task').on(t.task_id)],
)

/** How many tasks are in each status: changed in the transaction that changes a task, so that nothing ever counts rows. */
export const taskCounts = sqliteTable('task_counts', {
  status: text({ enum: taskStatuses }).primaryKey().notNull(),
  tasks: integer().notNull(),
})

/** One row: when the coordinator was alive last, by its service clock (ms) and by the wall clock (Unix seconds). */
export const serviceClock = sqliteTable('service_clock', {
  id: integer().primaryKey(),
  alive_ms: integer().notNull(),
  alive_at: integer().notNull(),
})

/**
 * What has to be added to the service clock to have the wall clock, Unix ms, from this moment of the service clock on: one row for each
 * start, and for each time that the one stood still or the other was set.
 */
export const clockOffsets = sqliteTable('clock_offsets', {
  from_ms: integer().primaryKey(),
  to_wall: integer().notNull(),
})

/** The data keys that texts in this file may be sealed under. A key without a row is needed no more. */
export const dataKeys = sqliteTable('data_keys', {
  kid: text().primaryKey().notNull(),
  /** 1 for the one that seals what is written now. */
  sealing: integer().notNull(),
  /** Of the one that seals: tasks after `walked_seq` and up to `last_seq` may still be sealed under others, or not at all. */
  walked_seq: integer().notNull(),
  last_seq: integer().notNull(),
})

/** The rank of a starved task: above every fee, so that among them age decides. */
export const STARVED = 2 ** 53

export type StoredTask = typeof inferenceTasks.$inferSelect
/** A task without its open attempt, and with its owner whole. */
export type TaskRow = Omit<StoredTask, `open_${string}` | 'owner_key' | 'in_run'>
export type ReopeningRow = typeof reopenings.$inferSelect
export type DataKeyRow = typeof dataKeys.$inferSelect
export type NodeRow = typeof inferenceNodes.$inferSelect
