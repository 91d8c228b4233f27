import type { UndoLog } from '../../lib/undo-log.js'
import type { NodeRow } from '../../store/schema.js'

/** What most nodes hold most of the time: a Map of its own for each of them would be half a kilobyte for nothing. */
export const EMPTY_MAP: ReadonlyMap<string, never> = new Map<string, never>()

type Undo = Pick<UndoLog, 'keepEntry'>
const isShared = (map: ReadonlyMap<string, unknown>): boolean => map === EMPTY_MAP

/** `map` with one entry more: changed in place, unless it is the one that all share. */
export function withEntry<T>(map: ReadonlyMap<string, T>, key: string, value: T, undo: Undo): ReadonlyMap<string, T> {
  if (isShared(map)) return new Map([[key, value]])
  undo.keepEntry(map as Map<string, T>, key)
  return (map as Map<string, T>).set(key, value)
}

/** `map` without an entry: changed in place; the one that all share when it was the last. */
export function withoutEntry<T>(map: ReadonlyMap<string, T>, key: string, undo: Undo): ReadonlyMap<string, T> {
  if (!map.has(key)) return map
  if (map.size === 1) return EMPTY_MAP
  undo.keepEntry(map as Map<string, T>, key)
  ;(map as Map<string, T>).delete(key)
  return map
}

/** The columns that every sign of life changes. */
const LAST_SEEN_COLUMNS: ReadonlySet<string> = new Set<keyof NodeRow>(['last_heartbeat', 'last_seen_ms'])

/** Whether `next` says of a node what `row` does, but for its last sign of life. */
export function sameButLastSeen(row: NodeRow, next: NodeRow): boolean {
  for (const [column, value] of Object.entries(next))
    if (!LAST_SEEN_COLUMNS.has(column) && row[column as keyof NodeRow] !== value) return false
  return true
}
