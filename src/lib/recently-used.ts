/**
 * Values by key, at most so many: for one more, the one that was asked for longest ago is forgotten.
 * @param make makes one where it is not known
 */
export function createRecentlyUsed<T, Args extends unknown[]>(most: number, make: (key: string, ...args: Args) => T) {
  const known = new Map<string, T>()
  /** What was asked for last: it is the last of the Map, and mostly the next that is asked for. */
  let last: { key: string; value: T } | null = null
  return {
    /** Makes it where it is not known. */
    of(key: string, ...args: Args): T {
      if (last?.key === key) return last.value
      const value = known.get(key) ?? make(key, ...args)
      known.delete(key)
      const [oldest] = known.size >= most ? known.keys() : []
      if (oldest !== undefined) known.delete(oldest)
      known.set(key, value)
      last = { key, value }
      return value
    },
    peek: (key: string): T | undefined => known.get(key),
    size: () => known.size,
  }
}
