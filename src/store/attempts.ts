import { and, count, desc, eq, getTableColumns, isNotNull, isNull, lt, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { attemptEnds, type AttemptEnd, type Fault } from '../rules/lifecycle.js'
import { attempts, inferenceTasks, type AttemptRow } from './schema.js'
import type { TaskTexts } from './task-texts.js'
import { bound, literal, marks, name, names, render, updates, type Bound } from './statement.js'
import type { Database } from './sqlite.js'

const { task_id, attempt, node_id, node_epoch, polled, handouts, assigned_ms, accepted_ms, lease_ms, ended_ms } =
  attempts
const openColumns = { task_id, attempt, node_id, node_epoch, polled, handouts, assigned_ms, accepted_ms, lease_ms }
/** All but the words of the node, which may be sealed. */
const { error: _, ...headColumns } = getTableColumns(attempts)
const pastColumns = { attempt, node_id, node_epoch, end: attempts.end, fault: attempts.fault, ended_ms, accepted_ms }

/** An attempt that has not ended. */
export type OpenAttempt = Pick<AttemptRow, keyof typeof openColumns>
/** An attempt without what its node said of its end. */
export type AttemptHead = Pick<AttemptRow, keyof typeof headColumns>
/** How an earlier attempt ended: what the next choice of a node looks at. */
export type PastAttempt = Pick<AttemptRow, keyof typeof pastColumns>

/** A moment, by the service clock and by the wall clock, ms. */
type Now = { readonly now: number; readonly wall: number }
const toAt = ({ wall }: Now): number => Math.floor(wall / 1000)

export type AttemptTable = ReturnType<typeof createAttemptTable>

const newColumns = [
  'task_id',
  'attempt',
  'node_id',
  'polled',
  'handouts',
  'assigned_ms',
  'accepted_ms',
  'lease_ms',
  'assigned_at',
  'accepted_at',
  'node_epoch',
] as const

/** How many leases a tick ends at once. */
const MAX_DUE = 200
/** The newest attempts, among which the completed ones tell how long a task takes. */
const RECENT = 1000
/** So many attempts of one task are told in its trace. */
const MAX_TRACED = 100

/**
 * The rows of `attempts`. What nearly every task passes (insert, accept, complete) is a statement of better-sqlite3, for
 * the reason that stands in tasks.ts; everything else is a query that drizzle prepares.
 */
export function createAttemptTable(db: Database, texts: TaskTexts) {
  const insert = db.prepare<Bound<AttemptRow, typeof newColumns>>(
    render(sql`INSERT INTO ${attempts} (${names<AttemptRow>(newColumns)}) VALUES (${marks(newColumns)})`),
  )
  const accept = db.prepare<
    Bound<AttemptRow, ['accepted_ms', 'accepted_at', 'lease_ms', 'task_id', 'attempt', 'node_id']>
  >(
    render(sql`UPDATE ${attempts} SET ${updates<AttemptRow>(['accepted_ms', 'accepted_at', 'lease_ms'])}
      WHERE ${task_id} = ? AND ${attempt} = ? AND ${node_id} = ? AND ${isNull(ended_ms)}`),
  )
  const complete = db.prepare<
    Bound<
      AttemptRow,
      [
        'ended_ms',
        'ended_at',
        'accepted_ms',
        'accepted_at',
        'prompt_tokens',
        'completion_tokens',
        'first_word_ms',
        'task_id',
        'attempt',
        'node_id',
      ]
    >
  >(
    render(sql`UPDATE ${attempts} SET ${updates<AttemptRow>(['ended_ms', 'ended_at'])},
      ${name(attempts.end)} = ${'completed' satisfies AttemptEnd},
      ${name(accepted_ms)} = coalesce(${accepted_ms}, ?, ${assigned_ms}),
      ${name(attempts.accepted_at)} = coalesce(${attempts.accepted_at}, ?, ${attempts.assigned_at}),
      ${name(attempts.fault)} = NULL, ${name(attempts.error)} = NULL,
      ${updates<AttemptRow>(['prompt_tokens', 'completion_tokens', 'first_word_ms'])}
      WHERE ${task_id} = ? AND ${attempt} = ? AND ${node_id} = ?`),
  )

  const orm = drizzle(db)
  const { placeholder } = sql
  const ofTask = eq(task_id, placeholder('task_id'))
  const ofNode = eq(node_id, placeholder('node_id'))
  const thisOne = and(ofTask, eq(attempt, placeholder('attempt')))
  const isOpen = isNull(ended_ms)
  const get = orm.select(headColumns).from(attempts).where(thisOne).prepare()
  const handOut = orm
    .update(attempts)
    .set({ handouts: sql`${handouts} + 1` })
    .where(and(thisOne, isOpen))
    .prepare()
  const end = orm
    .update(attempts)
    .set({
      ended_ms: bound('ended_ms'),
      ended_at: bound('ended_at'),
      end: bound('end'),
      fault: bound('fault'),
      error: bound('error'),
      first_word_ms: bound('first_word_ms'),
    })
    .where(and(thisOne, ofNode, isOpen))
    .prepare()
  const past = orm.select(pastColumns).from(attempts).where(ofTask).orderBy(attempt).prepare()
  const newestOf = literal(
    orm.select(headColumns).from(attempts).where(and(ofTask, ofNode)).orderBy(desc(attempt)).limit(1),
  ).prepare()
  const history = orm.select().from(attempts).where(ofTask).orderBy(attempt).prepare()
  const newest = literal(
    orm.select(headColumns).from(attempts).where(ofTask).orderBy(desc(attempt)).limit(MAX_TRACED),
  ).prepare()
  const completed = orm
    .select(headColumns)
    .from(attempts)
    .where(and(ofTask, eq(attempts.end, 'completed')))
    .prepare()
  const begun = orm
    .select({ n: count() })
    .from(attempts)
    .where(and(ofTask, isNotNull(accepted_ms)))
    .prepare()
  const open = orm.select(openColumns).from(attempts).where(isOpen).prepare()
  const openPerModel = orm
    .select({ model_key: inferenceTasks.model_key, n: count() })
    .from(attempts)
    .innerJoin(inferenceTasks, eq(inferenceTasks.task_id, task_id))
    .where(isOpen)
    .groupBy(inferenceTasks.model_key)
    .prepare()
  const due = literal(
    orm
      .select({ task_id, attempt })
      .from(attempts)
      .where(and(isOpen, lte(lease_ms, placeholder('time'))))
      .orderBy(lease_ms)
      .limit(MAX_DUE),
  ).prepare()
  const nextLease = literal(orm.select({ lease_ms }).from(attempts).where(isOpen).orderBy(lease_ms).limit(1)).prepare()
  const extend = orm
    .update(attempts)
    .set({ lease_ms: bound('time') })
    .where(and(isOpen, lt(lease_ms, placeholder('time'))))
    .prepare()
  const remove = orm.delete(attempts).where(ofTask).prepare()
  const recent = literal(
    orm
      .select({ end: attempts.end, assigned_ms, accepted_ms, ended_ms })
      .from(attempts)
      .orderBy(desc(sql`rowid`))
      .limit(RECENT),
  ).prepare()

  const must = (changes: number, what: string): void => {
    if (changes !== 1) throw new Error(`${what}: the attempt was no longer open`)
  }
  return {
    insert: (a: OpenAttempt, now: Now) =>
      insert.run(
        a.task_id,
        a.attempt,
        a.node_id,
        a.polled,
        a.handouts,
        a.assigned_ms,
        a.accepted_ms,
        a.lease_ms,
        toAt(now),
        a.accepted_ms === null ? null : toAt(now),
        a.node_epoch,
      ),
    get: (taskId: string, attempt: number) => get.get({ task_id: taskId, attempt }),
    /** Every attempt of a task, oldest first. */
    ofTask: (taskId: string) => past.all({ task_id: taskId }),
    /**
     * Every attempt of a task with everything that is known of it, oldest first.
     * @throws SealedTextError
     */
    history: (taskId: string): AttemptRow[] =>
      history.all({ task_id: taskId }).map((row) => {
        if (row.error !== null) row.error = texts.openOfAttempt(taskId, row.attempt, row.error)
        return row
      }),
    /** The newest 100 attempts of a task, oldest first. */
    newest: (taskId: string): AttemptHead[] => newest.all({ task_id: taskId }).reverse(),
    newestOf: (taskId: string, nodeId: string) => newestOf.get({ task_id: taskId, node_id: nodeId }),
    /** The attempt that brought the result of a task. */
    completedOf: (taskId: string): AttemptHead | undefined => completed.get({ task_id: taskId }),
    /** How many attempts of a task were begun: accepted, or handed to a poll. */
    begun: (taskId: string): number => begun.get({ task_id: taskId })?.n ?? 0,
    /** Deletes every attempt of a task. */
    remove: (taskId: string) => remove.run({ task_id: taskId }),
    allOpen: () => open.all(),
    /** How many are open of each model. */
    openPerModel: () => openPerModel.all(),
    accept: (a: OpenAttempt, now: Now) =>
      must(accept.run(now.now, toAt(now), a.lease_ms, a.task_id, a.attempt, a.node_id).changes, 'accept'),
    handOut: ({ task_id, attempt }: OpenAttempt) => must(handOut.run({ task_id, attempt }).changes, 'handOut'),
    end: (
      { task_id, attempt, node_id }: OpenAttempt,
      how: Exclude<AttemptEnd, 'completed'>,
      fault: Fault | null,
      error: string | null,
      firstWord: number | null,
      now: Now,
    ) => {
      const words = error === null ? null : texts.sealOfAttempt(task_id, attempt, error)
      const values = { ended_ms: now.now, ended_at: toAt(now), end: how, fault, error: words, first_word_ms: firstWord }
      must(end.run({ task_id, attempt, node_id, ...values }).changes, how)
    },
    /** Also for an attempt that had ended: a late result was taken. One that was accepted, and is not written so, was accepted now. */
    complete: (
      a: Pick<AttemptRow, 'task_id' | 'attempt' | 'node_id' | 'accepted_ms'>,
      usage: { prompt_tokens: number; completion_tokens: number } | null,
      firstWord: number | null,
      now: Now,
    ) =>
      must(
        complete.run(
          now.now,
          toAt(now),
          a.accepted_ms,
          a.accepted_ms === null ? null : toAt(now),
          usage?.prompt_tokens ?? null,
          usage?.completion_tokens ?? null,
          firstWord,
          a.task_id,
          a.attempt,
          a.node_id,
        ).changes,
        'complete',
      ),
    /** Up to 200 open attempts whose lease ended at `time` or before. */
    leasesDue: (time: number) => due.all({ time }),
    nextLease: (): number | null => nextLease.get()?.lease_ms ?? null,
    /** Gives every open lease at least until `time`. */
    extendLeases: (time: number) => extend.run({ time }),
    /** The latest moment that the newest 1,000 attempts tell of, service clock, ms; null without any. */
    latestMoment: (): number | null =>
      recent
        .all()
        .flatMap(({ assigned_ms, accepted_ms, ended_ms }) => [assigned_ms, accepted_ms ?? 0, ended_ms ?? 0])
        .reduce<number | null>((latest, moment) => Math.max(latest ?? 0, moment), null),
    /** How long those of the newest 1,000 attempts took that were completed, newest first. */
    recentDurations: () =>
      recent
        .all()
        .flatMap(({ end, assigned_ms, accepted_ms, ended_ms }) =>
          end === 'completed' && ended_ms !== null ? [{ ms: ended_ms - (accepted_ms ?? assigned_ms), ended_ms }] : [],
        ),
  }
}

/** Whether the node lost or failed the task, or was too slow. */
export const isFailure = ({ end }: PastAttempt): boolean => end !== null && attemptEnds[end].avoid

/** The nodes that lost or failed a task. */
export const nodesToAvoid = (attempts: readonly PastAttempt[]): Set<string> =>
  new Set(attempts.filter(isFailure).map((a) => a.node_id))
