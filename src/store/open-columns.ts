import { getTableColumns, sql, type SQL } from 'drizzle-orm'
import type { OpenAttempt } from './attempt-schema.js'
import { inferenceTasks, type StoredTask } from './schema.js'
import { updates, type Bound } from './statement.js'

/** The columns of a task that hold its open attempt; its number and its node are columns that every task has. */
export const openColumns = [
  'open_lease_ms',
  'open_polled',
  'open_handouts',
  'open_node_epoch',
  'open_assigned_ms',
  'open_assigned_at',
  'open_begun',
  'open_accepted_ms',
  'open_accepted_at',
] as const

/** Their values, in this order. */
export const openValues = (a: OpenAttempt): Bound<StoredTask, typeof openColumns> => [
  a.lease_ms,
  a.polled,
  a.handouts,
  a.node_epoch,
  a.assigned_ms,
  a.assigned_at,
  a.accepted_ms === null ? 0 : 1,
  a.accepted_ms ?? a.assigned_ms,
  a.accepted_at ?? a.assigned_at,
]

/** For the SET of an UPDATE: the attempt is open from here on. */
export const setOpen: SQL = updates<StoredTask>(openColumns)

/** For the SET of an UPDATE: no attempt is open any more. */
export const setNoneOpen: SQL = sql.raw(openColumns.map((column) => `"${column}" = NULL`).join(', '))

/** The same, for a query of drizzle. */
export const noneOpen = {
  open_lease_ms: null,
  open_polled: null,
  open_handouts: null,
  open_node_epoch: null,
  open_assigned_ms: null,
  open_assigned_at: null,
  open_begun: null,
  open_accepted_ms: null,
  open_accepted_at: null,
} as const satisfies Record<(typeof openColumns)[number], null>

const all = getTableColumns(inferenceTasks)
/** What is read of a task: all other columns, but those that are there for the list of an owner. */
export const taskColumns = Object.fromEntries(
  Object.entries(all).filter(([column]) => !(column in noneOpen || column === 'owner_key' || column === 'in_run')),
) as Omit<typeof all, keyof typeof noneOpen | 'owner_key' | 'in_run'>
