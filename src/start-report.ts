import { createHash } from 'node:crypto'
import type { Stats } from './core/operations.js'
import type { Outcome } from './lib/result.js'

/** What a service has found at its start, for its log. */
export function whatIsThere(database: string, isNew: boolean, found: Outcome<Stats>) {
  if (!found.ok) return { fields: { database }, text: `database ${database}` }
  const { tasks, nodes } = found.value
  const stored = Object.values(tasks).reduce((a, b) => a + b, 0)
  return {
    fields: { database, new_database: isNew, tasks: stored, waiting_tasks: tasks.pending, nodes: nodes.total_nodes },
    text: isNew
      ? `new database ${database}`
      : `database ${database} with ${counted(stored, 'task')}, ${tasks.pending} waiting, and ${counted(nodes.total_nodes, 'node')}`,
  }
}

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`

/** What the audit keeps of the settings of a start: SHA-256, hex, of all that is no secret. */
export const fingerprintOf = <S extends { callbacks?: { allow_private: boolean } | undefined }>({
  callbacks,
  ...settings
}: S): string =>
  createHash('sha256')
    .update(JSON.stringify({ ...settings, callbacks: callbacks?.allow_private }))
    .digest('hex')
