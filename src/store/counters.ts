import type { UndoLog } from '../lib/undo-log.js'

export interface CounterTable<Name extends string> {
  load(): { name: Name; n: number }[]
  save(name: Name, n: number): void
}

/**
 * How many rows are in each state: kept in memory, and in the file by the transactions that change them, so that nothing ever
 * counts rows.
 * @param undo puts the counters back when a transaction is undone
 */
export function createCounters<Name extends string>(
  names: readonly Name[],
  table: CounterTable<Name>,
  undo: Pick<UndoLog, 'keep'>,
) {
  const counts = Object.fromEntries(names.map((s) => [s, 0])) as Record<Name, number>
  const changed = new Set<Name>()
  return {
    counts: counts as Readonly<Record<Name, number>>,
    count(name: Name, by: 1 | -1) {
      undo.keep(counts)
      counts[name] += by
      changed.add(name)
    },
    /** Reads the counters from the file, at start. */
    load() {
      for (const name of names) counts[name] = 0
      for (const { name, n } of table.load()) counts[name] = n
      changed.clear()
    },
    /** Writes the counters that changed; belongs at the end of every transaction that changes states. */
    save() {
      for (const name of changed) table.save(name, counts[name])
      changed.clear()
    },
  }
}
