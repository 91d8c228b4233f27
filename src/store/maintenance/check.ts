import { existsSync } from 'node:fs'
import { attemptEnds, taskStatuses } from '../../rules/lifecycle.js'
import { explainOpen, hasTable, refuseNewer, StoreError } from '../open.js'
import { Database } from '../sqlite.js'

/** What one rule found. */
export interface Finding {
  rule: string
  ok: boolean
  /** The first few rows that break it, as sentences; empty when it is kept. */
  offenders: string[]
}

/** How many offenders are named. */
const NAMED = 5

const statuses = taskStatuses.map((s) => `'${s}'`).join(', ')
const ends = Object.keys(attemptEnds)
  .map((e) => `'${e}'`)
  .join(', ')

/** What must be true of every database. Each query gives the rows that break its rule, with one column: what to say. */
const rules: Record<string, string> = {
  'every status is one of the lifecycle': `SELECT 'task ' || task_id || ' is ' || status AS says FROM inference_tasks WHERE status NOT IN (${statuses})`,
  'a task in progress has exactly one open attempt, any other none': `
    SELECT 'task ' || task_id || ' is ' || status || ' and has ' || open || ' open attempts' AS says
    FROM (SELECT task_id, status, (SELECT count(*) FROM attempts AS a WHERE a.task_id = t.task_id AND a.ended_ms IS NULL) AS open FROM inference_tasks AS t)
    WHERE open <> (status = 'in_progress')`,
  'a task in progress is with the node of its open attempt': `
    SELECT 'task ' || t.task_id || ' is with ' || coalesce(t.inference_node_id, 'no node') || ', its attempt ' || a.attempt || ' with ' || a.node_id AS says
    FROM inference_tasks AS t JOIN attempts AS a ON a.task_id = t.task_id AND a.ended_ms IS NULL
    WHERE t.status = 'in_progress' AND (t.inference_node_id IS NOT a.node_id OR t.attempt <> a.attempt)`,
  'a task has at most one completed attempt': `
    SELECT 'task ' || task_id || ' has ' || count(*) || ' completed attempts' AS says FROM attempts WHERE "end" = 'completed' GROUP BY task_id HAVING count(*) > 1`,
  'a completed or submitted task has its output': `SELECT 'task ' || task_id || ' is ' || status || ' and has no output' AS says FROM inference_tasks WHERE status IN ('completed', 'submitted') AND output IS NULL`,
  'attempts are numbered from 1 to the newest': `
    SELECT 'task ' || task_id || ' is at attempt ' || attempt || ' and has ' || coalesce(numbers, 'none') AS says
    FROM (SELECT task_id, attempt, (SELECT count(*) || ' from ' || min(a.attempt) || ' to ' || max(a.attempt) FROM attempts AS a WHERE a.task_id = t.task_id HAVING count(*) > 0) AS numbers FROM inference_tasks AS t)
    WHERE coalesce(numbers, '') <> CASE attempt WHEN 0 THEN '' ELSE attempt || ' from 1 to ' || attempt END`,
  'an attempt has an end once it has ended': `
    SELECT 'attempt ' || attempt || ' of task ' || task_id || ' ended at ' || coalesce(ended_ms, 'no time') || ' by ' || coalesce("end", 'nothing') AS says
    FROM attempts WHERE (ended_ms IS NULL) <> ("end" IS NULL) OR "end" NOT IN (${ends})`,
  'every attempt belongs to a task': `SELECT 'attempt ' || attempt || ' of task ' || task_id || ': there is no such task' AS says FROM attempts WHERE task_id NOT IN (SELECT task_id FROM inference_tasks)`,
  'every open attempt is with a known node': `
    SELECT 'attempt ' || attempt || ' of task ' || task_id || ' is with ' || node_id || ': there is no such node' AS says
    FROM attempts WHERE ended_ms IS NULL AND node_id NOT IN (SELECT node_id FROM inference_nodes)`,
  'the counters equal a recount': `
    SELECT status || ' is counted ' || counted || ' and there are ' || there AS says
    FROM (SELECT s.status, coalesce((SELECT tasks FROM task_counts AS c WHERE c.status = s.status), 0) AS counted, coalesce(r.there, 0) AS there
      FROM (SELECT status FROM task_counts UNION SELECT status FROM inference_tasks) AS s
      LEFT JOIN (SELECT status, count(*) AS there FROM inference_tasks GROUP BY status) AS r ON r.status = s.status)
    WHERE counted <> there`,
}

/**
 * Looks at a database without changing it; also at one that is being served, every rule at one moment of its own.
 * @throws StoreError when the file cannot be read, or is no database of this service
 */
export function checkDatabase(file: string): Finding[] {
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
    return [intact, ...Object.entries(rules).map(([rule, sql]) => follow(db as Database, rule, sql))]
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
      .prepare<[], { integrity_check: string }>(`PRAGMA integrity_check(${NAMED})`)
      .all()
      .map((row) => row.integrity_check.replaceAll('\n', ' '))
    const ok = found.length === 1 && found[0] === 'ok'
    return { rule, ok, offenders: ok ? [] : found }
  } catch (error) {
    return { rule, ok: false, offenders: [sentence(error)] }
  }
}

/** A rule that cannot be looked at, because the file is damaged, is not kept. */
function follow(db: Database, rule: string, sql: string): Finding {
  try {
    const offenders = db
      .prepare<[], { says: string }>(`${sql} LIMIT ${NAMED}`)
      .all()
      .map((row) => row.says)
    return { rule, ok: offenders.length === 0, offenders }
  } catch (error) {
    return { rule, ok: false, offenders: [sentence(error)] }
  }
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error))
