import { drizzle } from 'drizzle-orm/better-sqlite3'
import { createModelTable, modelKey, UNKNOWN } from '../../rules/models.js'
import { taskStatuses, type TaskStatus } from '../../rules/lifecycle.js'
import { nodeStatus } from '../../wire/fields.js'
import { noneOpen } from '../open-columns.js'
import { inferenceNodes, inferenceTasks, taskCounts, type NodeRow, type TaskRow } from '../schema.js'
import { excluded, rowOf } from '../statement.js'
import type { Database } from '../sqlite.js'

/** What was taken over from a file of the original service. */
export interface Adoption {
  tasks: number
  nodes: number
  /** `in_progress` rows that went back to `pending`: they have no attempt. */
  requeued: number
  /** Waiting tasks of no known family, which no node can serve: they are failed. */
  failed: number
}

type Row = Record<string, unknown>

/**
 * First half, before the migrations: moves the original's two tables out of the way. If the process dies between
 * the halves the next start finds the moved tables and goes on.
 */
export function adoptOriginal(db: Database): void {
  db.transaction(() => {
    for (const [from, to] of [
      ['inference_tasks', 'original_tasks'],
      ['inference_nodes', 'original_nodes'],
    ] as const) {
      const there = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(from)
      if (there === undefined) continue
      db.exec(`ALTER TABLE ${from} RENAME TO ${to}`)
      // Its indexes would keep their names, and keep ours from being made.
      const indexes = db
        .prepare<[string], { name: string }>(
          "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        )
        .all(to)
      for (const { name } of indexes) db.exec(`DROP INDEX "${name.replaceAll('"', '""')}"`)
    }
  })()
}

/** Second half, after the migrations: copies every row in one transaction and drops the moved tables. */
export function copyOriginal(db: Database): Adoption {
  return db.transaction(() => {
    const adoption: Adoption = { tasks: 0, nodes: 0, requeued: 0, failed: 0 }
    const counts = new Map<TaskStatus, number>()
    const orm = drizzle(db)
    const insertTask = orm.insert(inferenceTasks).values(rowOf(inferenceTasks)).prepare()
    // The new service clock starts at this wall time. The time that nobody served is not held against the tasks that
    // wait: their wait counts from here, and their order is kept.
    const nowMs = Date.now()
    for (const row of rows(db, 'original_tasks')) {
      const task = adoptTask(row, nowMs)
      insertTask.run({ ...task, ...noneOpen, owner_key: null, in_run: null })
      adoption.tasks++
      if (String(row['status']) === 'in_progress') adoption.requeued++
      if (task.status === 'failed' && String(row['status']) !== 'failed') adoption.failed++
      counts.set(task.status, (counts.get(task.status) ?? 0) + 1)
    }
    const insertNode = orm.insert(inferenceNodes).values(rowOf(inferenceNodes)).prepare()
    for (const row of rows(db, 'original_nodes')) {
      insertNode.run(adoptNode(row))
      adoption.nodes++
    }
    const setCount = orm
      .insert(taskCounts)
      .values(rowOf(taskCounts))
      .onConflictDoUpdate({ target: taskCounts.status, set: excluded(taskCounts, 'status') })
      .prepare()
    for (const [status, tasks] of counts) setCount.run({ status, tasks })
    db.exec('DROP TABLE IF EXISTS original_tasks; DROP TABLE IF EXISTS original_nodes')
    return adoption
  })()
}

/** Reads in pages by rowid: a statement that is being iterated would keep others from running. */
function* rows(db: Database, table: 'original_tasks' | 'original_nodes'): Generator<Row> {
  if (db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table) === undefined) return
  const page = db.prepare<[number], Row & { adopt_rowid: number }>(
    `SELECT rowid AS adopt_rowid, * FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT 500`,
  )
  for (let last = Number.MIN_SAFE_INTEGER; ;) {
    const found = page.all(last)
    if (found.length === 0) return
    yield* found
    last = found.at(-1)?.adopt_rowid ?? last
  }
}

function adoptTask(row: Row, nowMs: number): TaskRow {
  const models = createModelTable()
  const name = textOf(row['model_type']) || UNKNOWN
  const family = models.familyOf(name)
  const old = taskStatuses.find((s) => s === row['status'])
  let status: TaskStatus = old === 'in_progress' ? 'pending' : (old ?? 'failed')
  let error =
    old === undefined ? `the original service left it in the unknown status ${JSON.stringify(row['status'])}` : null
  if (status === 'pending' && family === UNKNOWN) {
    status = 'failed'
    error = 'its model is not known: the original service kept only the family "unknown", which no node can serve'
  }
  const created = amountOf(row['created_at'])
  const inferFee = amountOf(row['infer_fee'])
  return {
    task_id: textOf(row['task_id']),
    user_address: textOf(row['user_address']),
    user_input: textOf(row['user_input']),
    context: textOf(row['context']),
    fee: amountOf(row['fee']),
    nonce: amountOf(row['nonce']),
    infer_fee: inferFee,
    max_infer_time: Math.min(Math.max(1, amountOf(row['max_infer_time'])), 2 ** 31 - 1),
    model_type: family,
    model_name: name,
    model_key: modelKey(name),
    signed_tx: null,
    paid_nonce: null,
    holds_payment: null,
    params: null,
    needs: 0,
    result_notes: null,
    error_code: null,
    join_key: null,
    traceparent: null,
    signer_public_key: null,
    status,
    attempt: 0,
    retried_after: 0,
    created_at: created,
    updated_at: amountOf(row['updated_at']) || created,
    queued_ms: nowMs,
    queue_rank: inferFee,
    output: textOrNull(row['output']),
    confidence: typeof row['confidence'] === 'number' ? row['confidence'] : null,
    completed_at:
      row['completed_at'] === null || row['completed_at'] === undefined ? null : amountOf(row['completed_at']),
    inference_node_id: old === 'in_progress' ? null : textOrNull(row['inference_node_id']),
    error,
    txid: null,
    owner_id: null,
    is_encrypted: 0,
    text_keys: null,
    texts_digest: null,
  }
}

function adoptNode(row: Row): NodeRow {
  const seen = amountOf(row['last_heartbeat'])
  const score = typeof row['performance_score'] === 'number' ? row['performance_score'] : 1
  return {
    node_id: textOf(row['node_id']),
    endpoint: textOf(row['endpoint']),
    public_key: textOf(row['public_key']),
    key_proven: 0,
    node_address: textOrNull(row['address']),
    status: nodeStatus.options.find((s) => s === row['status']) ?? 'offline',
    supported_models: JSON.stringify(modelNames(textOf(row['supported_models']))),
    performance_score: Math.min(1, Math.max(0, score)),
    max_concurrent_tasks: 1,
    transport: 'rest',
    agent: null,
    last_heartbeat: seen,
    last_seen_ms: seen * 1000,
    successes: 0,
    failures: 0,
    mean_seconds: 0,
    failures_in_row: 0,
    cooled_until_ms: 0,
    drained: 0,
    epoch: 0,
  }
}

/** Names from `[{"Llama": "llama-3"}, {"Unknown": null}, "Mistral"]`: the tagged name, or the family where there is none. */
function modelNames(json: string): string[] {
  let list: unknown
  try {
    list = JSON.parse(json)
  } catch {
    return [] // the node names its models anew when it registers; until then it serves nothing
  }
  const items: unknown[] = Array.isArray(list) ? list : []
  const names = items.flatMap((item): string[] => {
    if (typeof item === 'string') return [item]
    if (typeof item !== 'object' || item === null) return []
    return Object.entries(item).map(([tag, name]) => (typeof name === 'string' && name !== '' ? name : tag))
  })
  return [...new Set(names.map((n) => (n.toLowerCase() === UNKNOWN ? UNKNOWN : n)))]
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''

const textOrNull = (value: unknown): string | null => (value === null || value === undefined ? null : textOf(value))

/** An integer from 0 to 2^53 - 1; what the original stored beyond that cannot be an amount of micro-STX and is capped. */
function amountOf(value: unknown): number {
  const n = typeof value === 'string' ? Number(value) : typeof value === 'number' ? value : 0
  return Number.isFinite(n) ? Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.trunc(n))) : 0
}
