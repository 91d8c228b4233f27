import { and, eq, inArray, isNotNull, isNull, notInArray, or, sql, type SQL, type SQLWrapper } from 'drizzle-orm'
import { alias } from 'drizzle-orm/sqlite-core'
import { existsSync } from 'node:fs'
import { attemptEndNames, taskStatuses } from '../../rules/lifecycle.js'
import { callbackCounts, callbackHosts, callbacks } from '../callback-schema.js'
import { explainOpen, hasTable, refuseNewer, StoreError } from '../open.js'
import { attempts, endedAttempts } from '../attempt-schema.js'
import { openColumns } from '../open-columns.js'
import { dataKeys, inferenceNodes, inferenceTasks, taskCounts } from '../schema.js'
import { settlementCounts, settlements } from '../settlement-schema.js'
import { render } from '../statement.js'
import { Database } from '../sqlite.js'

/** What one rule found. */
export interface Finding {
  rule: string
  ok: boolean
  /** The first few rows that break it, as sentences; empty when it is kept. */
  offenders: string[]
}

/** How many offenders are named. */
const MAX_NAMED = 5

const t = alias(inferenceTasks, 't')
// A table in a file of an older version, where the open ones have rows too; a view of both since.
const a = alias(endedAttempts, 'a')
const aTask = sql`'task ' || ${t.task_id}`
const anAttempt = sql`'attempt ' || ${a.attempt} || ' of task ' || ${a.task_id}`
const tasks = sql`${inferenceTasks} AS ${t}`
const theAttempts = sql`${attempts} AS ${sql.identifier('a')}`
const ofTask = eq(a.task_id, t.task_id)
const isOpen = isNull(a.ended_ms)
const openOfTask = sql`(SELECT count(*) FROM ${theAttempts} WHERE ${ofTask} AND ${isOpen})`
const numbersOfTask = sql`(SELECT count(*) || ' from ' || min(${a.attempt}) || ' to ' || max(${a.attempt})
  FROM ${theAttempts} WHERE ${ofTask} HAVING count(*) > 0)`

/** What of a counter is not as many as there are. @param counted what comes after SELECT: what is counted, as `of` and `n` */
const recount = (rows: SQL, state: SQLWrapper, counted: SQL): SQL => sql`
    WITH recount AS (SELECT ${state} AS of, count(*) AS there FROM ${rows} GROUP BY ${state}),
      counted AS (SELECT ${counted}),
      either AS (SELECT of FROM counted UNION SELECT of FROM recount)
    SELECT of || ' is counted ' || coalesce(n, 0) || ' and there are ' || coalesce(there, 0) AS says
    FROM either LEFT JOIN counted USING (of) LEFT JOIN recount USING (of)
    WHERE coalesce(n, 0) <> coalesce(there, 0)`

/** What must be true of every database. Each query gives the rows that break its rule, with one column: what to say. */
const rules: Record<string, SQL> = {
  'every status is one of the lifecycle': sql`
    SELECT ${aTask} || ' is ' || ${t.status} AS says FROM ${tasks} WHERE ${notInArray(t.status, taskStatuses)}`,
  'a task in progress has exactly one open attempt, any other none': sql`
    SELECT ${aTask} || ' is ' || ${t.status} || ' and has ' || ${openOfTask} || ' open attempts' AS says
    FROM ${tasks} WHERE ${openOfTask} <> (${eq(t.status, 'in_progress')})`,
  'a task in progress is with the node of its open attempt': sql`
    SELECT ${aTask} || ' is with ' || coalesce(${t.inference_node_id}, 'no node') || ', its attempt ' || ${a.attempt} || ' with ' || ${a.node_id} AS says
    FROM ${tasks} JOIN ${theAttempts} ON ${ofTask} AND ${isOpen}
    WHERE ${eq(t.status, 'in_progress')} AND (${t.inference_node_id} IS NOT ${a.node_id} OR ${t.attempt} <> ${a.attempt})`,
  'a task has at most one completed attempt': sql`
    SELECT 'task ' || ${a.task_id} || ' has ' || count(*) || ' completed attempts' AS says
    FROM ${theAttempts} WHERE ${eq(a.end, 'completed')} GROUP BY ${a.task_id} HAVING count(*) > 1`,
  'a completed or submitted task has its output': sql`
    SELECT ${aTask} || ' is ' || ${t.status} || ' and has no output' AS says
    FROM ${tasks} WHERE ${inArray(t.status, ['completed', 'submitted'])} AND ${isNull(t.output)}`,
  'attempts are numbered from 1 to the newest': sql`
    SELECT ${aTask} || ' is at attempt ' || ${t.attempt} || ' and has ' || coalesce(${numbersOfTask}, 'none') AS says
    FROM ${tasks}
    WHERE coalesce(${numbersOfTask}, '') <> CASE ${t.attempt} WHEN 0 THEN '' ELSE ${t.attempt} || ' from 1 to ' || ${t.attempt} END`,
  'an attempt has an end once it has ended': sql`
    SELECT ${anAttempt} || ' ended at ' || coalesce(${a.ended_ms}, 'no time') || ' by ' || coalesce(${a.end}, 'nothing') AS says
    FROM ${theAttempts} WHERE (${isOpen}) <> (${isNull(a.end)}) OR ${notInArray(a.end, attemptEndNames)}`,
  'every attempt belongs to a task': sql`
    SELECT ${anAttempt} || ': there is no such task' AS says
    FROM ${theAttempts} WHERE ${a.task_id} NOT IN (SELECT ${t.task_id} FROM ${tasks})`,
  'every open attempt is with a known node': sql`
    SELECT ${anAttempt} || ' is with ' || ${a.node_id} || ': there is no such node' AS says
    FROM ${theAttempts} WHERE ${isOpen} AND ${a.node_id} NOT IN (SELECT ${inferenceNodes.node_id} FROM ${inferenceNodes})`,
  'the counters equal a recount': recount(
    tasks,
    t.status,
    sql`${taskCounts.status} AS of, ${taskCounts.tasks} AS n FROM ${taskCounts}`,
  ),
}

const e = alias(endedAttempts, 'e')
const someOpen = or(...openColumns.map((column) => isNotNull(t[column])))
const allOpen = and(...openColumns.map((column) => isNotNull(t[column])), isNotNull(t.inference_node_id))

/** The same of attempts, in a file where those that are open stand in their tasks. */
const rulesOfOpenAttempts: Record<string, SQL> = {
  'an open attempt has no row of its own': sql`
    SELECT 'attempt ' || ${e.attempt} || ' of task ' || ${e.task_id} || ' has a row and no end' AS says
    FROM ${endedAttempts} AS ${e} WHERE ${isNull(e.ended_ms)}
    UNION ALL SELECT 'attempt ' || ${e.attempt} || ' of task ' || ${e.task_id} || ' has a row and is open' AS says
    FROM ${tasks} JOIN ${endedAttempts} AS ${e} ON ${eq(e.task_id, t.task_id)} AND ${eq(e.attempt, t.attempt)}
    WHERE ${isNotNull(t.open_lease_ms)}`,
  'an open attempt is whole': sql`
    SELECT ${aTask} || ' has a part of an open attempt' AS says FROM ${tasks} WHERE (${someOpen}) AND NOT (${allOpen})`,
}

const s = alias(settlements, 's')
const theSettlements = sql`${settlements} AS ${s}`

/** The same of payments, in a file that has them. */
const rulesOfPayments: Record<string, SQL> = {
  'every settlement belongs to a paid task with a result': sql`
    SELECT 'settlement of task ' || ${s.task_id} || ': ' || coalesce('its task is ' || ${t.status}, 'there is no such task') AS says
    FROM ${theSettlements} LEFT JOIN ${tasks} ON ${eq(t.task_id, s.task_id)}
    WHERE coalesce(${inArray(t.status, ['completed', 'submitted'])} AND ${t.paid_nonce} IS NOT NULL, 0) = 0`,
  'a settlement that a miner has held is of a submitted task': sql`
    SELECT 'settlement of task ' || ${s.task_id} || ' is ' || ${s.state} || ' and its task is ' || ${t.status} AS says
    FROM ${theSettlements} JOIN ${tasks} ON ${eq(t.task_id, s.task_id)}
    WHERE ${inArray(s.state, ['posted', 'mined', 'confirmed'])} AND ${t.status} <> 'submitted'`,
  'the counters of settlements equal a recount': recount(
    theSettlements,
    s.state,
    sql`${settlementCounts.state} AS of, ${settlementCounts.settlements} AS n FROM ${settlementCounts}`,
  ),
}

const c = alias(callbacks, 'c')
const h = alias(callbackHosts, 'h')
const theCallbacks = sql`${callbacks} AS ${c}`
const aCallback = sql`'callback of task ' || ${c.task_id}`
const firstOfHost = sql`(SELECT min(${c.due_ms}) FROM ${theCallbacks} WHERE ${c.host} = ${h.host})`

/** The same of callbacks, in a file that has them. */
const rulesOfCallbacks: Record<string, SQL> = {
  'every callback belongs to a task': sql`
    SELECT ${aCallback} || ': there is no such task' AS says
    FROM ${theCallbacks} WHERE ${c.task_id} NOT IN (SELECT ${t.task_id} FROM ${tasks})`,
  'a callback waits for the end of its task, and no longer': sql`
    SELECT ${aCallback} || ' is ' || ${c.state} || ' and its task is ' || ${t.status} AS says
    FROM ${theCallbacks} JOIN ${tasks} ON ${eq(t.task_id, c.task_id)}
    WHERE (${eq(c.state, 'waiting')}) <> (${inArray(t.status, ['pending', 'in_progress'])})`,
  'a callback that is to be sent has a time for it, any other none': sql`
    SELECT ${aCallback} || ' is ' || ${c.state} || ' and due at ' || coalesce(${c.due_ms}, 'no time') AS says
    FROM ${theCallbacks} WHERE (${eq(c.state, 'pending')}) <> (${c.due_ms} IS NOT NULL)`,
  'every host is due with its first callback': sql`
    SELECT 'host ' || ${h.host} || ' is due at ' || ${h.due_ms} || ', its first callback at ' || coalesce(${firstOfHost}, 'no time') AS says
    FROM ${callbackHosts} AS ${h} WHERE ${h.due_ms} IS NOT ${firstOfHost}
    UNION ALL SELECT ${aCallback} || ' is due, and its host ' || ${c.host} || ' is not' AS says
    FROM ${theCallbacks} WHERE ${c.due_ms} IS NOT NULL AND ${c.host} NOT IN (SELECT ${h.host} FROM ${callbackHosts} AS ${h})`,
  'the counters of callbacks equal a recount': recount(
    theCallbacks,
    c.state,
    sql`${callbackCounts.state} AS of, ${callbackCounts.callbacks} AS n FROM ${callbackCounts}`,
  ),
}

/** A key without a row is needed no more: what is stored is sealed under those that have one. */
const keysAreThere = (kids: readonly string[]): SQL => sql`
  SELECT 'texts are encrypted under the data key ' || ${dataKeys.kid} || ', which is not in the key file; put that key back' AS says
  FROM ${dataKeys} WHERE ${notInArray(dataKeys.kid, [...kids, ''])}`

/**
 * Looks at a database without changing it; also at one that is being served, every rule at one moment of its own.
 * @param kids the ids of the data keys that there are; null where nobody has said which
 * @throws StoreError when the file cannot be read, or is no database of this service
 */
export function checkDatabase(file: string, kids: readonly string[] | null = null): Finding[] {
  if (!existsSync(file))
    throw new StoreError(`${file}: there is no such database; name an existing file with --database`)
  let db: Database | undefined
  try {
    db = new Database(file, { readonly: true, fileMustExist: true })
    if (!hasTable(db, '__drizzle_migrations') || !hasTable(db, 'inference_tasks')) {
      throw new StoreError(
        `${file}: this is not a database of this service; choose another file (one of the original service is taken over when the service starts on it)`,
      )
    }
    refuseNewer(db, file)
    const intact = integrity(db)
    const always = {
      ...rules,
      ...(hasTable(db, 'ended_attempts') ? rulesOfOpenAttempts : {}),
      ...(hasTable(db, 'settlements') ? rulesOfPayments : {}),
      ...(hasTable(db, 'callbacks') ? rulesOfCallbacks : {}),
    }
    const all =
      kids === null || !hasTable(db, 'data_keys')
        ? always
        : { ...always, 'every data key that texts are encrypted under is there': keysAreThere(kids) }
    return [intact, ...Object.entries(all).map(([rule, query]) => follow(db as Database, rule, query))]
  } catch (error) {
    throw error instanceof StoreError ? error : new StoreError(explainOpen(file, error))
  } finally {
    db?.close()
  }
}

function integrity(db: Database): Finding {
  const rule = 'the file is intact'
  try {
    const found = db
      .prepare<[], { integrity_check: string }>(`PRAGMA integrity_check(${MAX_NAMED})`)
      .all()
      .map((row) => row.integrity_check.replaceAll('\n', ' '))
    const ok = found.length === 1 && found[0] === 'ok'
    return { rule, ok, offenders: ok ? [] : found }
  } catch (error) {
    return { rule, ok: false, offenders: [sentence(error)] }
  }
}

/** A rule that cannot be looked at, because the file is damaged, is not kept. */
function follow(db: Database, rule: string, query: SQL): Finding {
  try {
    const offenders = db
      .prepare<[], { says: string }>(render(sql`${query} LIMIT ${MAX_NAMED}`))
      .all()
      .map((row) => row.says)
    return { rule, ok: offenders.length === 0, offenders }
  } catch (error) {
    return { rule, ok: false, offenders: [sentence(error)] }
  }
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error))
