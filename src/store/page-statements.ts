import { and, eq, isNotNull, or, sql, type SQL, type SQLWrapper } from 'drizzle-orm'
import { alias } from 'drizzle-orm/sqlite-core'
import type * as v from 'valibot'
import type { TaskStatus } from '../rules/lifecycle.js'
import { taskLine } from '../wire/task-answers.js'
import { endedAttempts } from './attempt-schema.js'
import { indexes, inferenceTasks, type TaskRow } from './schema.js'
import { render } from './statement.js'
import type { Database, Statement } from './sqlite.js'

/** A line of the list of tasks: everything but the texts. */
export type TaskLine = v.InferOutput<typeof taskLine>
const columns = Object.keys(taskLine.entries) as (keyof TaskLine & keyof TaskRow)[]

export interface TaskFilter {
  status: TaskStatus | null
  /** In the form names are compared in; a family too. */
  model: string | null
  user: string | null
  /** A node that was given the task. */
  node: string | null
}

/** What the statements bind by name. */
type Before = { before: number }
type Wanted = Omit<TaskFilter, 'status'> & Before & { limit: number }
/** The lines that were found: how many, the `seq` of the last, and all of them as a JSON array of TaskLine. */
type Found = { n: number; last: number | null; tasks: string }

/** The statements of one status, or of all; those that depend on the rest of a filter are made when it is first asked for. */
export interface PageStatements {
  /** The last of the next `size` rows. Counted, not by their rowids: a deletion may have left long gaps. */
  steps: { size: number; last: Statement<[Before], { seq: number }> }[]
  /** What is wanted of the rows from `low` on. */
  found(filter: TaskFilter): Statement<[Wanted & { low: number }], Found>
  older: Statement<[Before], { seq: number }>
  /** Only for a status whose rows can be sorted as a whole. */
  whole: {
    /** How many there are, as far as one more than can be sorted. */
    count: Statement<[], { n: number }>
    found(filter: TaskFilter): Statement<[Wanted], Found>
    older: Statement<[Before], { seq: number }>
  } | null
}

// The task that is looked at; the task by whose row the order is made; an attempt of the one that has ended.
export const t = alias(inferenceTasks, 't')
const w = alias(inferenceTasks, 'w')
const a = alias(endedAttempts, 'a')

/** Rows in the order of their making: those of a status, where an index has them in this order, or all. */
const inOrder = (status: TaskStatus | null): { from: SQL; where: SQL } =>
  status === 'failed' || status === 'timeout'
    ? {
        from: sql`${inferenceTasks} AS ${t} INDEXED BY ${sql.identifier(indexes.tasksNotDone)}`,
        where: eq(t.status, status),
      }
    : { from: sql`${inferenceTasks} AS ${t} NOT INDEXED`, where: sql`true` }

/** Where there may be few rows of a status among very many, and an index has them in another order. */
const unordered: Partial<Record<TaskStatus, { from: SQL; where: SQL }>> = {
  pending: {
    from: sql`${inferenceTasks} AS ${w} INDEXED BY ${sql.identifier(indexes.tasksByAge)}`,
    where: eq(w.status, 'pending'),
  },
  in_progress: {
    from: sql`${inferenceTasks} AS ${w} INDEXED BY ${sql.identifier(indexes.tasksInProgress)}`,
    where: isNotNull(w.open_lease_ms),
  },
}

/** What a row must be. The status is a literal, so that the plan is made once. */
export const conditions = ({ status, model, user, node }: TaskFilter): SQL =>
  and(
    status === null ? undefined : eq(t.status, status),
    model === null ? undefined : or(eq(t.model_key, sql`@model`), eq(t.model_type, sql`@model`)),
    user === null ? undefined : eq(t.user_address, sql`@user`),
    // The only attempt of a task was with the node that is written in the task: one lookup less for nearly every row. So is an open one.
    node === null
      ? undefined
      : sql`(${t.inference_node_id} = @node OR ((${t.attempt} <> 1 OR ${t.inference_node_id} IS NULL)
          AND EXISTS (SELECT 1 FROM ${endedAttempts} AS ${a} WHERE ${a.task_id} = ${t.task_id} AND ${a.node_id} = @node)))`,
  ) ?? sql`true`

/** A line as JSON, of the columns of a row. */
export const line = (column: (name: keyof TaskLine) => SQLWrapper): SQL =>
  sql`json_object(${sql.join(
    columns.map((c) => sql`${c}, ${column(c)}`),
    sql`, `,
  )})`

const lines = (rows: SQL): SQL => {
  const ofTask = columns.map((c) => t[c])
  return sql`
    SELECT count(*) AS n, min(seq) AS last, json_group_array(${line(sql.identifier)}) AS tasks
    FROM (SELECT ${t}.rowid AS seq, ${sql.join(ofTask, sql`, `)} ${rows} LIMIT @limit)`
}

/** Makes a statement once for each combination of filters: there are many, and few are ever used. */
export function perCombination<Statement>(make: (filter: TaskFilter) => Statement): (filter: TaskFilter) => Statement {
  const made = new Map<string, Statement>()
  return (filter) => {
    const { model, user, node } = filter
    const combination = [model, user, node].map((f) => f !== null).join()
    const statement = made.get(combination) ?? make(filter)
    made.set(combination, statement)
    return statement
  }
}

/**
 * Statements of better-sqlite3 with the names of the schema in them: they name their indexes and write JSON, for which
 * drizzle has no words, and one page runs dozens of them.
 * @param steps how many rows a step may look at
 * @param maxSorted so many rows are sorted as a whole
 */
export function createPageStatements(
  db: Database,
  status: TaskStatus | null,
  steps: readonly number[],
  maxSorted: number,
): PageStatements {
  const { from, where } = inOrder(status)
  const next = sql`FROM ${from} WHERE ${where} AND ${t}.rowid < @before`
  return {
    steps: steps.map((size) => ({
      size,
      last: db.prepare(
        render(sql`SELECT ${t}.rowid AS seq ${next} ORDER BY ${t}.rowid DESC LIMIT 1 OFFSET ${size - 1}`),
      ),
    })),
    found: perCombination((filter) =>
      db.prepare(render(lines(sql`${next} AND ${t}.rowid >= @low AND ${conditions(filter)} ORDER BY ${t}.rowid DESC`))),
    ),
    older: db.prepare(render(sql`SELECT ${t}.rowid AS seq ${next} LIMIT 1`)),
    whole: wholeOf(db, status, maxSorted),
  }
}

function wholeOf(db: Database, status: TaskStatus | null, maxSorted: number): PageStatements['whole'] {
  const all = status === null ? undefined : unordered[status]
  if (all === undefined) return null
  const { from, where } = all
  const next = sql`SELECT ${w}.rowid AS seq FROM ${from} WHERE ${where} AND ${w}.rowid < @before`
  return {
    count: db.prepare(
      render(sql`SELECT count(*) AS n FROM (SELECT 1 FROM ${from} WHERE ${where} LIMIT ${maxSorted + 1})`),
    ),
    found: perCombination((filter) =>
      db.prepare(
        render(
          lines(sql`FROM (${next} ORDER BY ${w}.rowid DESC LIMIT ${maxSorted}) AS s
            CROSS JOIN ${inferenceTasks} AS ${t} ON ${t}.rowid = s.seq WHERE ${conditions(filter)}`),
        ),
      ),
    ),
    older: db.prepare(render(sql`${next} LIMIT 1`)),
  }
}
