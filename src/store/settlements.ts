import { and, asc, desc, eq, getTableColumns, gt, inArray, isNotNull, isNull, lt, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import type { UndoLog } from '../lib/undo-log.js'
import { canSettle, settlementStates, type SettlementState } from '../rules/settlement.js'
import { createCounters } from './counters.js'
import { inferenceTasks as tasks } from './schema.js'
import { settlementCounts, settlements, sightings, type SettlementRow, type SightingRow } from './settlement-schema.js'
import { bound, excluded, literal, marks, names, render, rowOf, type Bound } from './statement.js'
import type { Database } from './sqlite.js'

export type SettlementTable = ReturnType<typeof createSettlementTable>

/** How many of the unposted are compared for the oldest, and how many with sightings are read at once. */
const MAX_COMPARED = 2000
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

const opened = ['task_id', 'payee', 'output_hash', 'state', 'due_ms', 'created_at', 'updated_at'] as const

/** The rows of `settlements`, and the one place that writes their state. */
export function createSettlementTable(db: Database, undo: Pick<UndoLog, 'keep'>) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const { task_id, state, due_ms } = settlements

  // What every paid result passes.
  const open = db.prepare<Bound<SettlementRow, typeof opened>>(
    render(sql`INSERT INTO ${settlements} (${names<SettlementRow>(opened)}) VALUES (${marks(opened)})`),
  )
  const columns = {
    ...getTableColumns(settlements),
    txid: sql<string>`${tasks.txid}`,
    origin: tasks.user_address,
    nonce: sql<number>`${tasks.paid_nonce}`,
  }
  const ofTask = eq(task_id, placeholder('task_id'))
  const rows = () => orm.select(columns).from(settlements).innerJoin(tasks, eq(tasks.task_id, task_id))
  const get = rows().where(ofTask).prepare()
  const isFinal = orm.select({ final: settlements.final }).from(settlements).where(ofTask).prepare()
  const remove = orm.delete(settlements).where(ofTask).prepare()
  const due = rows()
    .where(and(isNotNull(due_ms), lte(due_ms, placeholder('now'))))
    .orderBy(asc(due_ms))
    .limit(placeholder('limit'))
    .prepare()
  const nextDue = orm
    .select({ at: sql<number | null>`min(${due_ms})` })
    .from(settlements)
    .where(isNotNull(due_ms))
    .prepare()
  // The condition of the index, word for word.
  const ofPayment = literal(
    rows().where(
      and(
        eq(tasks.holds_payment, 1),
        eq(tasks.user_address, placeholder('origin')),
        eq(tasks.paid_nonce, placeholder('nonce')),
      ),
    ),
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
  const sightedEarly = orm
    .selectDistinct({ task_id: sightings.task_id })
    .from(sightings)
    .leftJoin(settlements, eq(task_id, sightings.task_id))
    .where(isNull(task_id))
    .prepare()
  const removeSightings = orm
    .delete(sightings)
    .where(eq(sightings.task_id, placeholder('task_id')))
    .prepare()
  const someDue = orm
    .select({ task_id, created_at: settlements.created_at, state })
    .from(settlements)
    .where(isNotNull(due_ms))
    .orderBy(asc(due_ms))
    .limit(MAX_COMPARED)
    .as('some')
  const oldestUnposted = literal(
    orm
      .select({ task_id: someDue.task_id, at: someDue.created_at })
      .from(someDue)
      .where(sql`(state = 'ready' OR state = 'lost')`)
      .orderBy(asc(someDue.created_at))
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

  // Spread, so that a node is not asked about all of them in one second: by the end of the task's id, as if at random, and the same
  // wherever it is run again on the same rows. 2654435761: multiplicative hashing, the golden ratio of 2^32.
  const codeAt = (place: number) => sql`coalesce(unicode(substr(task_id, ${sql.raw(String(place))}, 1)), 0)`
  const spread = sql`((due_ms + ${codeAt(-1)} * 257 + ${codeAt(-2)} * 16411 + ${codeAt(-3)} * 1048583) * 2654435761 % 4294967296)`
  const hasten = orm
    .update(settlements)
    .set({
      due_ms: sql`${bound('now')} + (${spread} % (${bound('latest')} - ${bound('now')} + 1))`,
    })
    .where(
      sql`task_id IN (SELECT task_id FROM settlements WHERE due_ms IS NOT NULL AND due_ms > ${placeholder('latest')} ORDER BY due_ms, task_id LIMIT 10000)`,
    )
    .prepare()

  return {
    counts,
    loadCounts: load,
    saveCounts: save,
    /**
     * A paid task has its result: its payment is to be posted.
     * @param at Unix seconds
     */
    open(taskId: string, o: { payee: string | null; outputHash: string; dueMs: number; at: number }) {
      open.run(taskId, o.payee, o.outputHash, 'ready', o.dueMs, o.at, o.at)
      count('ready', 1)
    },
    get: (taskId: string): SettlementRow | undefined => get.get({ task_id: taskId }),
    /** Whether there is one that may still change. */
    isOpen: (taskId: string): boolean => isFinal.get({ task_id: taskId })?.final === 0,
    /** What the relay has to look at now, the longest due first. */
    due: (now: number, limit: number): SettlementRow[] => due.all({ now, limit }),
    /** When the next one is due, service clock, ms; null when none is. */
    nextDue: (): number | null => nextDue.get()?.at ?? null,
    /** The one that a transaction of this origin and nonce pays. */
    ofPayment: (origin: string, nonce: number): SettlementRow | undefined => ofPayment.get({ origin, nonce }),
    /** The oldest unposted one, of the 2,000 that are due first. */
    oldestUnposted: (): { task_id: string; at: number } | undefined => oldestUnposted.get(),
    /** Notes in which block its nonce was used, and by what. */
    addSighting: (row: SightingRow) => addSighting.run(row).changes === 1,
    sightings: (taskId: string): SightingRow[] => sightingsOf.all({ task_id: taskId }),
    /** Tasks with sightings, which are not final, in the order of their ids: up to 200 after this one. */
    sighted: (after: string): string[] => sighted.all({ after }).map((row) => row.task_id),
    /** Tasks with sightings that have no settlement yet. */
    sightedEarly: (): string[] => sightedEarly.all().map((row) => row.task_id),
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
        .select(columns)
        .from(settlements)
        .innerJoin(tasks, eq(tasks.task_id, task_id))
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
