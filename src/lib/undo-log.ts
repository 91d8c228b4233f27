/**
 * How memory was before a turn changed it: the one way to take back. An object is kept at its first touch, an entry of a Map or
 * a Set at each; when the turn is undone, everything is put back as it was, the newest change first. A part of a turn that may
 * fail alone begins with a mark, and `rollback` goes back to that mark only.
 *
 * What is not kept, on purpose: facts (a node was heard of, a socket is gone), figures (they are counted after the commit), and
 * what memory keeps to save reading; that is dropped by `onRollback`.
 */
export interface UndoLog {
  /**
   * Call before the first change of an object.
   * @param image makes the function that puts the object back; by default all its own properties are assigned back
   */
  keep<T extends object>(object: T, image?: (object: T) => () => void): void
  /** Call before an entry of a Map is set or deleted. */
  keepEntry<K, V>(map: Map<K, V>, key: K): void
  /** Call before a member of a Set is added or deleted. Its place in the order of the Set is not kept. */
  keepMember<V>(set: Set<V>, member: V): void
  /** Where memory is now: for `rollback`. */
  mark(): number
  /** Puts back what was changed since the mark; then calls what follows every rollback. */
  rollback(mark: number): void
  /** The turn is durable: nothing of it is taken back any more. */
  clear(): void
  /** Called after every rollback: brings indexes up to date and drops what was only remembered. */
  onRollback(follow: () => void): void
}

const assignBack = <T extends object>(object: T) => {
  const image = { ...object }
  return () => void Object.assign(object, image)
}

export function createUndoLog(): UndoLog {
  const steps: (() => void)[] = []
  /** Objects that were kept since the newest mark. */
  const kept = new Set<object>()
  const followers: (() => void)[] = []
  return {
    keep(object, image = assignBack) {
      if (kept.has(object)) return
      kept.add(object)
      steps.push(image(object))
    },
    keepEntry(map, key) {
      const value = map.get(key)
      steps.push(value === undefined ? () => map.delete(key) : () => map.set(key, value))
    },
    keepMember(set, member) {
      steps.push(set.has(member) ? () => set.add(member) : () => set.delete(member))
    },
    mark() {
      kept.clear()
      return steps.length
    },
    rollback(mark) {
      kept.clear()
      while (steps.length > mark) steps.pop()?.()
      for (const follow of followers) follow()
    },
    clear() {
      kept.clear()
      steps.length = 0
    },
    onRollback: (follow) => void followers.push(follow),
  }
}
