import { and, asc, desc, eq, gt, inArray, isNotNull, lt, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import type { UndoLog } from '../lib/undo-log.js'
import { canSettle, settlementStates, type SettlementState } from '../rules/settlement.js'
import { createCounters } from './counters.js'
import { inferenceTasks as tasks } from './schema.js'
import { settlementCounts, settlements, sightings, type SettlementRow, type SightingRow } from './settlement-schema.js'
import { bound, excluded, literal, names, render, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

export type SettlementTable = ReturnType<typeof createSettlementTable>

/** How many of the unposted are compared for the oldest, and how many with sightings are read at once. */
const MAX_COMPARED = 2000
const MAX_CHAINED = 25
export const MAX_SIGHTED = 200

/** What the relay has to know to post one. */
export type DueSettlement = Pick<
  SettlementRow,
  'task_id' | 'txid' | 'origin' | 'nonce' | 'payee' | 'output_hash' | 'state' | 'tries'
>

/** What changes of one. What is left out stays as it is. */
export type SettlementChange = Partial<
  Pick<
    SettlementRow,
    'tries' | 'due_ms' | 'last_error' | 'height' | 'index_block_hash' | 'final' | 'posted_at' | 'payee'
  >
>

const opened = ['task_id', 'origin', 'nonce', 'txid', 'payee', 'output_hash', 'state', 'due_ms', 'created_at', 'updated_at'] as const // prettier-ignore

/** The rows of `settlements`, and the one place that writes their state. */
export function createSettlementTable(db: Database, undo: Pick<UndoLog, 'keep'>) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const { task_id, state, due_ms, origin, nonce } = settlements

  // What every paid result passes: no row is read into JavaScript, and an unpaid task has none.
  const open = db.prepare<[string | null, string, number, number, number, string]>(
    render(sql`INSERT INTO ${settlements} (${names<SettlementRow>(opened)})
      SELECT ${tasks.task_id}, ${tasks.user_address}, ${tasks.paid_nonce}, ${tasks.txid}, ?, ?, 'ready', ?, ?, ?
      FROM ${tasks} WHERE ${tasks.task_id} = ? AND ${tasks.paid_nonce} IS NOT NULL`),
  )
  const ofTask = eq(task_id, placeholder('task_id'))
  const get = orm.select().from(settlements).where(ofTask).prepare()
  const remove = orm.delete(settlements).where(ofTask).prepare()
  const dueColumns = {
    task_id,
    txid: settlements.txid,
    origin,
    nonce,
    payee: settlements.payee,
    output_hash: settlements.output_hash,
    state,
    tries: settlements.tries,
  }
  const due = orm
    .select(dueColumns)
    .from(settlements)
    .where(and(isNotNull(due_ms), lte(due_ms, placeholder('now'))))
    .orderBy(asc(due_ms))
    .limit(placeholder('limit'))
    .prepare()
  const nextDue = orm
    .select({ at: sql<number | null>`min(${due_ms})` })
    .from(settlements)
    .where(isNotNull(due_ms))
    .prepare()
  // With OR, not IN: only so SQLite sees that the partial index serves it.
  const unposted = sql`(state = 'ready' OR state = 'lost')`
  const firstUnposted = literal(
    orm
      .select({ task_id })
      .from(settlements)
      .where(and(unposted, eq(origin, placeholder('origin'))))
      .orderBy(asc(nonce))
      .limit(1),
  ).prepare()
  const addSighting = orm.insert(sightings).values(rowOf(sightings)).onConflictDoNothing().prepare()
  const sightingsOf = orm
    .select()
    .from(sightings)
    .where(eq(sightings.task_id, placeholder('task_id')))
    .prepare()
  const sighted = literal(
    orm
      .selectDistinct({ task_id: sightings.task_id })
      .from(sightings)
      .where(gt(sightings.task_id, placeholder('after')))
      .orderBy(asc(sightings.task_id))
      .limit(MAX_SIGHTED),
  ).prepare()
  const removeSightings = orm
    .delete(sightings)
    .where(eq(sightings.task_id, placeholder('task_id')))
    .prepare()
  const unpostedOf = literal(
    orm
      .select({ ...dueColumns, due_ms })
      .from(settlements)
      .where(and(unposted, eq(origin, placeholder('origin'))))
      .orderBy(asc(nonce))
      .limit(MAX_CHAINED),
  ).prepare()
  const someUnposted = orm
    .select({ task_id, created_at: settlements.created_at })
    .from(settlements)
    .where(unposted)
    .limit(MAX_COMPARED)
    .as('some')
  const oldestUnposted = literal(
    orm
      .select({ task_id: someUnposted.task_id, at: someUnposted.created_at })
      .from(someUnposted)
      .orderBy(asc(someUnposted.created_at))
      .limit(1),
  ).prepare()

  const loadCounts = orm
    .select({ name: settlementCounts.state, n: settlementCounts.settlements })
    .from(settlementCounts)
    .prepare()
  const saveCount = orm
    .insert(settlementCounts)
    .values(rowOf(settlementCounts))
    .onConflictDoUpdate({ target: settlementCounts.state, set: excluded(settlementCounts, 'state') })
    .prepare()
  const { counts, count, load, save } = createCounters(
    settlementStates,
    {
      load: () => loadCounts.all(),
      save: (name, n) => void saveCount.run({ state: name, settlements: n }),
    },
    undo,
  )
  const update = orm
    .update(settlements)
    .set({
      state: bound('state'),
      tries: bound('tries'),
      due_ms: bound('due_ms'),
      last_error: bound('last_error'),
      height: bound('height'),
      index_block_hash: bound('index_block_hash'),
      final: bound('final'),
      posted_at: bound('posted_at'),
      payee: bound('payee'),
      updated_at: bound('updated_at'),
    })
    .where(ofTask)
    .prepare()

  // Spread at random, so that a node is not asked about all of them in one second.
  const hasten = orm
    .update(settlements)
    .set({ due_ms: sql`${bound('now')} + (abs(random()) % (${bound('latest')} - ${bound('now')} + 1))` })
    .where(
      sql`rowid IN (SELECT rowid FROM settlements WHERE due_ms IS NOT NULL AND due_ms > ${placeholder('latest')} LIMIT 10000)`,
    )
    .prepare()

  return {
    counts,
    loadCounts: load,
    saveCounts: save,
    /**
     * A paid task has its result: its payment is to be posted. Does nothing for a task that is not paid.
     * @param at Unix seconds
     */
    open(taskId: string, o: { payee: string | null; outputHash: string; dueMs: number; at: number }): boolean {
      if (open.run(o.payee, o.outputHash, o.dueMs, o.at, o.at, taskId).changes !== 1) return false
      count('ready', 1)
      return true
    },
    get: (taskId: string): SettlementRow | undefined => get.get({ task_id: taskId }),
    /** What the relay has to look at now, the longest due first. */
    due: (now: number, limit: number): DueSettlement[] => due.all({ now, limit }),
    /** When the next one is due, service clock, ms; null when none is. */
    nextDue: (): number | null => nextDue.get()?.at ?? null,
    /** The task of an origin whose payment is to be posted first. */
    nextOf: (from: string): string | undefined => firstUnposted.get({ origin: from })?.task_id,
    /** What of an origin is to be posted first, in the order of nonces: up to 25, as many as a miner takes in a chain. */
    unpostedOf: (from: string): (DueSettlement & { due_ms: number | null })[] => unpostedOf.all({ origin: from }),
    /** The oldest unposted one, of the first 2,000. */
    oldestUnposted: (): { task_id: string; at: number } | undefined => oldestUnposted.get(),
    /** Notes in which block its nonce was used, and by what. */
    addSighting: (row: SightingRow) => addSighting.run(row).changes === 1,
    sightings: (taskId: string): SightingRow[] => sightingsOf.all({ task_id: taskId }),
    /** Tasks with sightings, which are not final, in the order of their ids: up to 200 after this one. */
    sighted: (after: string): string[] => sighted.all({ after }).map((row) => row.task_id),
    /** It is final. */
    removeSightings: (taskId: string) => removeSightings.run({ task_id: taskId }),
    /**
     * Where a state changes, and what goes with it.
     * @throws when the table of states does not allow the change
     */
    change(row: SettlementRow, to: SettlementState, change: SettlementChange, at: number): SettlementRow {
      if (row.state !== to && !canSettle(row.state, to))
        throw new Error(`the settlement of task ${row.task_id} is ${row.state} and cannot become ${to}`)
      const next: SettlementRow = { ...row, ...change, state: to, updated_at: at }
      update.run(next)
      if (row.state !== to) {
        count(row.state, -1)
        count(to, 1)
      }
      return next
    },
    /** Whatever is due later than `latest` is due between `now` and then: at most 10,000 of them. */
    hasten: (now: number, latest: number) => hasten.run({ now, latest }),
    /** With its task. */
    remove(taskId: string) {
      const row = get.get({ task_id: taskId })
      if (row === undefined) return
      remove.run({ task_id: taskId })
      removeSightings.run({ task_id: taskId })
      count(row.state, -1)
    },
    /**
     * A page, newest task_id first.
     * @param before the last task_id of the page before
     */
    page(filter: { states: readonly SettlementState[] }, before: string | null, limit: number): SettlementRow[] {
      return orm
        .select()
        .from(settlements)
        .where(
          and(
            filter.states.length === 0 ? undefined : inArray(state, [...filter.states]),
            before === null ? undefined : lt(task_id, before),
          ),
        )
        .orderBy(desc(task_id))
        .limit(limit)
        .all()
    },
  }
}
