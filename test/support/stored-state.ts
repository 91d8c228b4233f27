import { openDatabase } from '../../src/store/open.js'
import { Database } from '../../src/store/sqlite.js'
import { inspect, type Service } from './service.js'
import { tempDir } from './temp-dir.js'

/** Everything that is stored, but when a node was seen: that a call came is not what it asked for. */
export const tables = (file: string) =>
  inspect(file, (db) => ({
    tasks: db.prepare('SELECT * FROM inference_tasks ORDER BY task_id').all(),
    attempts: db.prepare('SELECT * FROM attempts ORDER BY task_id, attempt').all(),
    counts: db.prepare('SELECT * FROM task_counts ORDER BY status').all(),
    nodes: db
      .prepare<[], Record<string, unknown>>('SELECT * FROM inference_nodes ORDER BY node_id')
      .all()
      .map((row) => ({ ...row, last_heartbeat: null, last_seen_ms: null })),
  }))

/** What is stored, and what the service says of it. */
export const state = async (service: Service) => {
  const { uptime_seconds: _, ...stats } = (await service.get('/api/v1/stats')).body?.data as Record<string, unknown>
  const nodes = (await service.get('/api/v1/nodes')).body?.data as Record<string, unknown>[]
  return { stats, nodes: nodes.map((n) => ({ ...n, last_heartbeat: null })), tables: tables(service.file) }
}

export const countTasks = (service: Service) =>
  inspect(service.file, (db) => db.prepare('SELECT count(*) FROM inference_tasks').pluck().get())

/** A file with `n` tasks in it, oldest first, made without a service. */
export function fileWith(
  n: number,
  row: (i: number) => { status?: string; user?: string; model?: string; fee?: number },
): string {
  const file = `${tempDir()}/inference.db`
  openDatabase(file).close()
  const db = new Database(file)
  const insert =
    db.prepare(`INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type, model_name, model_key, status, attempt, created_at, updated_at, queued_ms, queue_rank)
    VALUES (@id, @user, 'x', '', 0, 0, @fee, 60, @family, @model, @model, @status, 0, @at, @at, @ms, @fee)`)
  const counts = new Map<string, number>()
  db.transaction(() => {
    for (let i = 0; i < n; i++) {
      const { status = 'failed', user = 'u', model = 'llama', fee = 1 } = row(i)
      insert.run({
        id: `t-${i}`,
        user,
        model,
        family: model.startsWith('llama') ? 'llama' : 'gemma',
        status,
        fee,
        at: 1_700_000_000 + i,
        ms: Date.now(),
      })
      counts.set(status, (counts.get(status) ?? 0) + 1)
    }
    for (const [status, tasks] of counts)
      db.prepare(
        'INSERT INTO task_counts (status, tasks) VALUES (?, ?) ON CONFLICT (status) DO UPDATE SET tasks = excluded.tasks',
      ).run(status, tasks)
  })()
  db.close()
  return file
}

/** A file with these nodes in it, made without a service. */
export function fileWithNodes(ids: readonly string[], models: readonly string[] = ['llama']): string {
  const file = `${tempDir()}/inference.db`
  openDatabase(file).close()
  const db = new Database(file)
  const insert =
    db.prepare(`INSERT INTO inference_nodes (node_id, endpoint, public_key, key_proven, status, supported_models, performance_score, max_concurrent_tasks, transport, last_heartbeat, last_seen_ms)
    VALUES (?, '', 'placeholder', 0, 'online', ?, 1, 1, 'rest', 1, 1)`)
  db.transaction(() => {
    for (const id of ids) insert.run(id, JSON.stringify(models))
  })()
  db.close()
  return file
}
