import { createHash } from 'node:crypto'
import type { Stats } from './core/operations.js'
import type { Outcome } from './lib/result.js'

/** Where a service is reached. @param host an address or a name */
export const urlOf = (host: string, port: number, secure: boolean): string =>
  `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`

/** What a service has found at its start, for its log. @param url of the service that has a dashboard; null: it has none */
export function whatIsThere(database: string, isNew: boolean, found: Outcome<Stats>, url: string | null) {
  const page = url === null ? {} : { dashboard: `${url}/dashboard/` }
  const at = page.dashboard === undefined ? '' : `; dashboard: ${page.dashboard}`
  if (!found.ok) return { fields: { database, ...page }, text: `database ${database}${at}` }
  const { tasks, nodes } = found.value
  const stored = Object.values(tasks).reduce((a, b) => a + b, 0)
  const text = isNew
    ? `new database ${database}`
    : `database ${database} with ${counted(stored, 'task')}, ${tasks.pending} waiting, and ${counted(nodes.total_nodes, 'node')}`
  return {
    fields: {
      ...page,
      database,
      new_database: isNew,
      tasks: stored,
      waiting_tasks: tasks.pending,
      nodes: nodes.total_nodes,
    },
    text: text + at,
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
