import type { NodeRow } from '../../store/schema.js'

/** What most nodes hold most of the time: a Map of its own for each of them would be half a kilobyte for nothing. */
export const EMPTY_MAP: ReadonlyMap<string, never> = new Map<string, never>()

/** `map` with one entry more: changed in place, unless it is the one that all share. */
export const withEntry = <T>(map: ReadonlyMap<string, T>, key: string, value: T): ReadonlyMap<string, T> =>
  map === EMPTY_MAP ? new Map([[key, value]]) : (map as Map<string, T>).set(key, value)

/** `map` without an entry: changed in place; the one that all share when it was the last. */
export const withoutEntry = <T>(map: ReadonlyMap<string, T>, key: string): ReadonlyMap<string, T> => {
  if (map === EMPTY_MAP) return map
  ;(map as Map<string, T>).delete(key)
  return map.size === 0 ? EMPTY_MAP : map
}

/** The columns that every sign of life changes. */
const LAST_SEEN_COLUMNS: ReadonlySet<string> = new Set<keyof NodeRow>(['last_heartbeat', 'last_seen_ms'])

/** Whether `next` says of a node what `row` does, but for its last sign of life. */
export function sameButLastSeen(row: NodeRow, next: NodeRow): boolean {
  for (const [column, value] of Object.entries(next))
    if (!LAST_SEEN_COLUMNS.has(column) && row[column as keyof NodeRow] !== value) return false
  return true
}
