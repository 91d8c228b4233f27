import { and, count, eq, isNotNull, lt, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { toSeconds } from '../lib/clock.js'
import { openAttempts as open, type OpenAttempt } from './attempt-schema.js'
import { noneOpen } from './open-columns.js'
import { inferenceTasks as tasks, type StoredTask } from './schema.js'
import { bound, literal, render, updates, type Bound } from './statement.js'
import type { Database } from './sqlite.js'

/** How many leases a tick ends at once. */
const MAX_DUE = 200

/** What is asked of the open attempts of all tasks, and what changes while one is open. The columns of a task that hold its own. */
export function createOpenAttempts(db: Database) {
  const isOpen = isNotNull(tasks.open_lease_ms)
  const acceptedColumns = ['open_begun', 'open_accepted_ms', 'open_accepted_at'] as const
  const accept = db.prepare<
    [...Bound<StoredTask, typeof acceptedColumns>, task_id: string, attempt: number, node_id: string]
  >(
    render(sql`UPDATE ${tasks} SET ${updates<StoredTask>(acceptedColumns)}
      WHERE ${tasks.task_id} = ? AND ${tasks.attempt} = ? AND ${tasks.inference_node_id} = ? AND ${isOpen}`),
  )

  // Apart from the accept, which few tasks need this with: it writes the index of leases.
  const extendLease = db.prepare<
    [...Bound<StoredTask, ['open_lease_ms']>, task_id: string, attempt: number, node_id: string]
  >(
    render(sql`UPDATE ${tasks} SET ${updates<StoredTask>(['open_lease_ms'])}
      WHERE ${tasks.task_id} = ? AND ${tasks.attempt} = ? AND ${tasks.inference_node_id} = ? AND ${isOpen}`),
  )

  const orm = drizzle(db)
  const { placeholder } = sql
  const thisOne = and(
    eq(tasks.task_id, placeholder('task_id')),
    eq(tasks.attempt, placeholder('attempt')),
    eq(tasks.inference_node_id, placeholder('node_id')),
    isOpen,
  )
  const handOut = orm
    .update(tasks)
    .set({ open_handouts: sql`${tasks.open_handouts} + 1` })
    .where(thisOne)
    .prepare()
  const close = orm.update(tasks).set(noneOpen).where(thisOne).prepare()
  const all = orm.select().from(open).prepare()
  const perModel = orm
    .select({ model_key: tasks.model_key, n: count() })
    .from(tasks)
    .where(isOpen)
    .groupBy(tasks.model_key)
    .prepare()
  const due = literal(
    orm
      .select({ task_id: open.task_id, attempt: open.attempt })
      .from(open)
      .where(lte(open.lease_ms, placeholder('time')))
      .orderBy(open.lease_ms)
      .limit(MAX_DUE),
  ).prepare()
  const next = literal(orm.select({ lease_ms: open.lease_ms }).from(open).orderBy(open.lease_ms).limit(1)).prepare()
  const extend = orm
    .update(tasks)
    .set({ open_lease_ms: bound('time') })
    .where(and(isOpen, lt(tasks.open_lease_ms, placeholder('time'))))
    .prepare()
  const latest = orm
    .select({ ms: sql<number | null>`max(max(${open.assigned_ms}, coalesce(${open.accepted_ms}, 0)))` })
    .from(open)
    .prepare()

  return {
    allOpen: (): OpenAttempt[] => all.all(),
    /** How many are open of each model. */
    openPerModel: () => perModel.all(),
    accept: ({ task_id, attempt, node_id }: OpenAttempt, { now, wall }: Now) =>
      mustBeOpen(accept.run(1, now, toSeconds(wall), task_id, attempt, node_id).changes, 'accept'),
    /** Its lease is as memory has it. */
    extendLease: ({ lease_ms, task_id, attempt, node_id }: OpenAttempt) =>
      mustBeOpen(extendLease.run(lease_ms, task_id, attempt, node_id).changes, 'extendLease'),
    handOut: ({ task_id, attempt, node_id }: OpenAttempt) =>
      mustBeOpen(handOut.run({ task_id, attempt, node_id }).changes, 'handOut'),
    /** It is open no more: what became of it is the caller's to write. */
    close: ({ task_id, attempt, node_id }: OpenAttempt, why: string) =>
      mustBeOpen(close.run({ task_id, attempt, node_id }).changes, why),
    /** Up to 200 open attempts whose lease ended at `time` or before. */
    leasesDue: (time: number) => due.all({ time }),
    nextLease: (): number | null => next.get()?.lease_ms ?? null,
    /** Gives every open lease at least until `time`. */
    extendLeases: (time: number) => extend.run({ time }),
    /** The latest moment that open attempts tell of, service clock, ms; null without any. */
    latestOpen: (): number | null => latest.get()?.ms ?? null,
  }
}

/** A moment, by the service clock and by the wall clock, ms. */
export type Now = { readonly now: number; readonly wall: number }

function mustBeOpen(changes: number, what: string): void {
  if (changes !== 1) throw new Error(`${what}: the attempt was no longer open`)
}
