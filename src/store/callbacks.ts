import { and, asc, desc, eq, gt, isNotNull, lt, lte, min, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import type { UndoLog } from '../lib/undo-log.js'
import { callbackStates, canCallBack, type CallbackState } from '../rules/callbacks.js'
import { callbackCounts, callbackHosts, callbacks, type CallbackRow } from './callback-schema.js'
import { createCounters } from './counters.js'
import { inferenceTasks as tasks } from './schema.js'
import { bound, excluded, literal, name, render, rowOf, updates, type Bound } from './statement.js'
import type { TaskTexts } from './task-texts.js'
import type { Database } from './sqlite.js'

export type CallbackTable = ReturnType<typeof createCallbackTable>

/** A callback that may be sent now. `bytes`: of the texts that it tells, about. */
export type DueCallback = Pick<CallbackRow, 'task_id' | 'host'> & { webhook_id: string; bytes: number }

/** What changes of one. What is left out stays as it is. */
export type CallbackChange = Partial<Pick<CallbackRow, 'webhook_id' | 'ended_at' | 'tries' | 'due_ms' | 'last_error'>>

const ended = ['webhook_id', 'ended_at', 'due_ms', 'updated_at'] as const

/** The rows of `callbacks`, and the one place that writes their state. */
export function createCallbackTable(db: Database, undo: Pick<UndoLog, 'keep'>, texts: TaskTexts) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const { task_id, host, state, due_ms } = callbacks
  const ofTask = eq(task_id, placeholder('task_id'))
  const insert = orm.insert(callbacks).values(rowOf(callbacks)).prepare()
  const get = orm.select().from(callbacks).where(ofTask).prepare()
  const remove = orm.delete(callbacks).where(ofTask).returning({ host, state }).prepare()
  // What every result passes while some callback waits.
  const end = db.prepare<[...Bound<CallbackRow, typeof ended>, task_id: string], Pick<CallbackRow, 'host'>>(
    render(sql`UPDATE ${callbacks} SET ${name(state)} = 'pending', ${updates<CallbackRow>(ended)}
      WHERE ${task_id} = ? AND ${eq(state, 'waiting')} RETURNING ${name(host)}`),
  )
  const update = orm
    .update(callbacks)
    .set({
      state: bound('state'),
      webhook_id: bound('webhook_id'),
      ended_at: bound('ended_at'),
      tries: bound('tries'),
      due_ms: bound('due_ms'),
      last_error: bound('last_error'),
      updated_at: bound('updated_at'),
    })
    .where(ofTask)
    .prepare()

  const dueHosts = orm
    .select({ host: callbackHosts.host })
    .from(callbackHosts)
    .where(lte(callbackHosts.due_ms, placeholder('now')))
    .orderBy(asc(callbackHosts.due_ms))
    .limit(placeholder('limit'))
    .prepare()
  const isDue = isNotNull(due_ms)
  const bytes = sql<number>`(SELECT octet_length(${tasks.user_input}) + octet_length(${tasks.context}) + coalesce(octet_length(${tasks.params}), 0)
    + coalesce(octet_length(${tasks.output}), 0) + coalesce(octet_length(${tasks.result_notes}), 0)
    FROM ${tasks} WHERE ${tasks.task_id} = ${task_id})`
  const dueOfHost = orm
    .select({ task_id, host, webhook_id: sql<string>`${callbacks.webhook_id}`, bytes })
    .from(callbacks)
    .where(and(isDue, eq(host, placeholder('host')), lte(due_ms, placeholder('now'))))
    .orderBy(asc(due_ms))
    .limit(placeholder('limit'))
    .prepare()
  const soonest = orm
    .select({ at: min(callbackHosts.due_ms) })
    .from(callbackHosts)
    .prepare()
  const soonestAfter = orm
    .select({ at: min(callbackHosts.due_ms) })
    .from(callbackHosts)
    .where(gt(callbackHosts.due_ms, placeholder('now')))
    .prepare()
  const firstOfHost = orm
    .select({ at: min(due_ms) })
    .from(callbacks)
    .where(and(isDue, eq(host, placeholder('host'))))
    .prepare()
  const saveHost = orm
    .insert(callbackHosts)
    .values(rowOf(callbackHosts))
    .onConflictDoUpdate({ target: callbackHosts.host, set: excluded(callbackHosts, 'host') })
    .prepare()
  const removeHost = orm
    .delete(callbackHosts)
    .where(eq(callbackHosts.host, placeholder('host')))
    .prepare()
  /** One more is due of a host. */
  const addToHost = db.prepare<[host: string, due_ms: number]>(
    render(sql`INSERT INTO ${callbackHosts} VALUES (?, ?) ON CONFLICT DO UPDATE
      SET ${name(callbackHosts.due_ms)} = excluded.due_ms WHERE excluded.due_ms < ${callbackHosts.due_ms}`),
  )
  /** Something of a host has changed. */
  const seeHost = (of: string): void => {
    const at = firstOfHost.get({ host: of })?.at ?? null
    if (at === null) removeHost.run({ host: of })
    else saveHost.run({ host: of, due_ms: at })
  }

  const loadCounts = orm
    .select({ name: callbackCounts.state, n: callbackCounts.callbacks })
    .from(callbackCounts)
    .prepare()
  const saveCount = orm
    .insert(callbackCounts)
    .values(rowOf(callbackCounts))
    .onConflictDoUpdate({ target: callbackCounts.state, set: excluded(callbackCounts, 'state') })
    .prepare()
  const { counts, count, load, save } = createCounters(
    callbackStates,
    { load: () => loadCounts.all(), save: (of, n) => void saveCount.run({ state: of, callbacks: n }) },
    undo,
  )
  const columns = orm.select().from(callbacks)
  const page = (of: CallbackState | null, before: string | null, limit: number) =>
    literal(
      columns
        .where(and(of === null ? undefined : eq(state, of), before === null ? undefined : lt(task_id, before)))
        .orderBy(desc(task_id))
        .limit(limit),
    ).all()
  const isAny = (): boolean => callbackStates.some((of) => counts[of] > 0)

  return {
    counts,
    loadCounts: load,
    saveCounts: save,
    /** A task names where its end is to be told. @param at Unix seconds */
    add(row: Pick<CallbackRow, 'task_id' | 'url' | 'host' | 'signed_for'>, at: number): void {
      insert.run({
        ...row,
        url: texts.seal('callback_url', row.task_id, row.url),
        state: 'waiting',
        webhook_id: null,
        ended_at: null,
        tries: 0,
        due_ms: null,
        last_error: null,
        updated_at: at,
      })
      count('waiting', 1)
    },
    get: (taskId: string): CallbackRow | undefined => (isAny() ? get.get({ task_id: taskId }) : undefined),
    /** @throws SealedTextError */
    urlOf: ({ task_id: taskId, url }: Pick<CallbackRow, 'task_id' | 'url'>): string =>
      texts.open('callback_url', taskId, url),
    /**
     * A task has ended: where that is to be told, it is to be sent from here on. Costs nothing while no callback waits.
     * @param at Unix seconds @param due service clock, ms
     * @returns whether it is to be told
     */
    end(taskId: string, webhookId: () => string, at: number, due: number): boolean {
      if (counts.waiting === 0) return false
      const found = end.get(webhookId(), at, due, at, taskId)
      if (found === undefined) return false
      count('waiting', -1)
      count('pending', 1)
      addToHost.run(found.host, due)
      return true
    },
    /**
     * Where a state changes otherwise, and what goes with it.
     * @throws when the table of states does not allow the change
     */
    change(row: CallbackRow, to: CallbackState, change: CallbackChange, at: number): CallbackRow {
      if (row.state !== to && !canCallBack(row.state, to))
        throw new Error(`the callback of task ${row.task_id} is ${row.state} and cannot become ${to}`)
      const next: CallbackRow = { ...row, ...change, state: to, updated_at: at }
      update.run(next)
      if (row.state !== to) {
        count(row.state, -1)
        count(to, 1)
      }
      if (row.due_ms !== next.due_ms) seeHost(row.host)
      return next
    },
    /** Hosts with something due, the longest due first. */
    dueHosts: (now: number, limit: number): string[] => dueHosts.all({ now, limit }).map((row) => row.host),
    /** What is due of a host, the longest due first. */
    dueOf: (of: string, now: number, limit: number): DueCallback[] => dueOfHost.all({ host: of, now, limit }),
    /** When the next is due, or was, service clock, ms; null when none is. */
    nextDue: (): number | null => (counts.pending === 0 ? null : (soonest.get()?.at ?? null)),
    /** The same of hosts that have nothing due yet. */
    nextAfter: (now: number): number | null => soonestAfter.get({ now })?.at ?? null,
    /** With its task. */
    remove(taskId: string): void {
      if (!isAny()) return
      for (const row of remove.all({ task_id: taskId })) {
        count(row.state, -1)
        seeHost(row.host)
      }
    },
    /**
     * A page, newest task_id first.
     * @param of null: whatever its state
     * @param before the last task_id of the page before
     */
    page,
  }
}
