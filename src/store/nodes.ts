import type { NodeRow } from './schema.js'
import type { Database } from './sqlite.js'

export type NodeTable = ReturnType<typeof createNodeTable>

/** The rows of `inference_nodes`. */
export function createNodeTable(db: Database) {
  const columns = `node_id, endpoint, public_key, key_proven, node_address, status, supported_models, performance_score,
    max_concurrent_tasks, transport, agent, last_heartbeat, last_seen_ms, successes, failures, mean_seconds,
    failures_in_row, cooled_until_ms, drained`
  const names = columns.split(',').map((c) => c.trim())
  const save =
    db.prepare<NodeRow>(`INSERT INTO inference_nodes (${columns}) VALUES (${names.map((c) => `@${c}`).join(', ')})
    ON CONFLICT (node_id) DO UPDATE SET ${names
      .slice(1)
      .map((c) => `${c} = excluded.${c}`)
      .join(', ')}`)
  const all = db.prepare<[], NodeRow>(`SELECT ${columns} FROM inference_nodes`)
  const get = db.prepare<[string], NodeRow>(`SELECT ${columns} FROM inference_nodes WHERE node_id = ?`)
  const forget = db.prepare('DELETE FROM inference_nodes WHERE node_id = ?')
  return {
    save: (row: NodeRow) => save.run(row),
    all: () => all.all(),
    get: (nodeId: string) => get.get(nodeId),
    forget: (nodeId: string) => forget.run(nodeId),
  }
}
