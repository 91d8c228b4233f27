import { and, count, desc, eq, getViewSelectedFields, isNotNull, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { toSeconds } from '../lib/clock.js'
import { attemptEnds, type AttemptEnd, type Fault } from '../rules/lifecycle.js'
import { attempts, endedAttempts as ended, type AttemptRow, type OpenAttempt } from './attempt-schema.js'
import { createOpenAttempts, type Now } from './open-attempts.js'
import { literal, marks, name, names, render, updates, type Bound } from './statement.js'
import type { Database } from './sqlite.js'
import type { TaskTexts } from './task-texts.js'

export type { OpenAttempt } from './attempt-schema.js'

const { task_id, attempt, node_id, node_epoch, end, fault, ended_ms, accepted_ms } = attempts
/** All but the words of the node, which may be sealed. */
const { error: _, ...headColumns } = getViewSelectedFields(attempts)
const pastColumns = { attempt, node_id, node_epoch, end, fault, ended_ms, accepted_ms }

/** An attempt without what its node said of its end. */
export type AttemptHead = Pick<AttemptRow, keyof typeof headColumns>
/** How an earlier attempt ended: what the next choice of a node looks at. */
export type PastAttempt = Pick<AttemptRow, keyof typeof pastColumns>
type Usage = { prompt_tokens: number; completion_tokens: number } | null

export type AttemptTable = ReturnType<typeof createAttemptTable>

const endedColumns = [
  'task_id',
  'attempt',
  'node_id',
  'polled',
  'handouts',
  'assigned_ms',
  'accepted_ms',
  'lease_ms',
  'ended_ms',
  'end',
  'fault',
  'error',
  'assigned_at',
  'accepted_at',
  'ended_at',
  'prompt_tokens',
  'completion_tokens',
  'node_epoch',
  'first_word_ms',
] as const
/** What is not known before the end. */
type AttemptEnding = Pick<
  AttemptRow,
  | 'accepted_ms'
  | 'accepted_at'
  | 'ended_ms'
  | 'ended_at'
  | 'end'
  | 'fault'
  | 'error'
  | 'prompt_tokens'
  | 'completion_tokens'
  | 'first_word_ms'
>
const lateColumns = ['ended_ms', 'ended_at', 'prompt_tokens', 'completion_tokens', 'first_word_ms'] as const

/** The newest attempts, among which the completed ones tell how long a task takes. */
const RECENT = 1000
/** So many attempts of one task are told in its trace. */
const MAX_TRACED = 100

/**
 * The attempts of tasks. The open one of a task is columns of its row, written by tasks.ts with the change of status; the row
 * of an attempt is written when it ends, all of it, from what memory knows. What nearly every task passes is a statement of
 * better-sqlite3, for the reason that stands in tasks.ts; everything else is a query that drizzle prepares.
 */
export function createAttemptTable(db: Database, texts: TaskTexts) {
  const write = (or: string) =>
    db.prepare<Bound<AttemptRow, typeof endedColumns>>(
      render(
        sql`INSERT ${sql.raw(or)} INTO ${ended} (${names<AttemptRow>(endedColumns)}) VALUES (${marks(endedColumns)})`,
      ),
    )
  const insert = write('OR IGNORE')
  const replace = write('OR REPLACE')
  const completeLate = db.prepare<
    [...Bound<AttemptRow, typeof lateColumns>, task_id: string, attempt: number, node_id: string]
  >(
    render(sql`UPDATE ${ended} SET ${updates<AttemptRow>(lateColumns)},
      ${name(ended.end)} = ${'completed' satisfies AttemptEnd},
      ${name(ended.accepted_ms)} = coalesce(${ended.accepted_ms}, ${ended.assigned_ms}),
      ${name(ended.accepted_at)} = coalesce(${ended.accepted_at}, ${ended.assigned_at}),
      ${name(ended.fault)} = NULL, ${name(ended.error)} = NULL
      WHERE ${ended.task_id} = ? AND ${ended.attempt} = ? AND ${ended.node_id} = ?`),
  )

  const orm = drizzle(db)
  const { placeholder } = sql
  const ofTask = eq(task_id, placeholder('task_id'))
  const ofNode = eq(node_id, placeholder('node_id'))
  const thisOne = and(ofTask, eq(attempt, placeholder('attempt')))
  const get = orm.select(headColumns).from(attempts).where(thisOne).prepare()
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
    .where(and(ofTask, eq(end, 'completed')))
    .prepare()
  const begun = orm
    .select({ n: count() })
    .from(attempts)
    .where(and(ofTask, isNotNull(accepted_ms)))
    .prepare()
  const remove = orm
    .delete(ended)
    .where(eq(ended.task_id, placeholder('task_id')))
    .prepare()
  const recent = literal(
    orm
      .select({
        end: ended.end,
        assigned_ms: ended.assigned_ms,
        accepted_ms: ended.accepted_ms,
        ended_ms: ended.ended_ms,
      })
      .from(ended)
      .orderBy(desc(sql`rowid`))
      .limit(RECENT),
  ).prepare()

  const open = createOpenAttempts(db)

  /** @returns false when the file had a row of it already, which nobody but somebody else can have written: it is replaced */
  const save = (a: OpenAttempt, e: AttemptEnding): boolean => {
    // By place, and no object made of both: that takes longer than to insert the row.
    const by = (statement: typeof insert): number =>
      statement.run(
        a.task_id,
        a.attempt,
        a.node_id,
        a.polled,
        a.handouts,
        a.assigned_ms,
        e.accepted_ms,
        a.lease_ms,
        e.ended_ms,
        e.end,
        e.fault,
        e.error,
        a.assigned_at,
        e.accepted_at,
        e.ended_at,
        e.prompt_tokens,
        e.completion_tokens,
        a.node_epoch,
        e.first_word_ms,
      ).changes
    if (by(insert) === 1) return true
    by(replace)
    return false
  }

  return {
    ...open,
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
    /** Deletes every attempt of a task that has ended. */
    remove: (taskId: string) => remove.run({ task_id: taskId }),
    /**
     * Ends an open attempt, as memory knows it, otherwise than by its completion.
     * @returns as `complete`
     * @throws when it was open no more
     */
    end(
      a: OpenAttempt,
      how: Exclude<AttemptEnd, 'completed'>,
      fault: Fault | null,
      error: string | null,
      firstWord: number | null,
      { now, wall }: Now,
    ): boolean {
      open.close(a, how)
      return save(a, {
        accepted_ms: a.accepted_ms,
        accepted_at: a.accepted_at,
        ended_ms: now,
        ended_at: toSeconds(wall),
        end: how,
        fault,
        error: error === null ? null : texts.sealOfAttempt(a.task_id, a.attempt, error),
        prompt_tokens: null,
        completion_tokens: null,
        first_word_ms: firstWord,
      })
    },
    /**
     * The attempt has brought the result of its task, whose row says so already. Also for one that had ended: a late result was taken.
     * One that was not accepted before was accepted when it was assigned.
     * @returns false when the file had a row of an attempt that was open: somebody has changed it. What memory knows is written.
     * @throws when it had ended, and its row is gone
     */
    complete(a: OpenAttempt | AttemptHead, usage: Usage, firstWord: number | null, { now, wall }: Now): boolean {
      const { prompt_tokens = null, completion_tokens = null } = usage ?? {}
      const at = toSeconds(wall)
      if ('ended_ms' in a && a.ended_ms !== null) {
        const { task_id, attempt, node_id } = a
        const late = completeLate.run(now, at, prompt_tokens, completion_tokens, firstWord, task_id, attempt, node_id)
        if (late.changes !== 1) throw new Error('complete: the attempt is gone')
        return true
      }
      return save(a, {
        accepted_ms: a.accepted_ms ?? a.assigned_ms,
        accepted_at: a.accepted_at ?? a.assigned_at,
        ended_ms: now,
        ended_at: at,
        end: 'completed',
        fault: null,
        error: null,
        prompt_tokens,
        completion_tokens,
        first_word_ms: firstWord,
      })
    },
    /** The latest moment that the open attempts and the 1,000 that ended last tell of, service clock, ms; null without any. */
    latestMoment: (): number | null =>
      recent
        .all()
        .flatMap(({ assigned_ms, accepted_ms, ended_ms }) => [assigned_ms, accepted_ms ?? 0, ended_ms ?? 0])
        .reduce<number | null>((latest, moment) => Math.max(latest ?? 0, moment), open.latestOpen()),
    /** How long those of the 1,000 attempts that ended last took that were completed, newest first. */
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
