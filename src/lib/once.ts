/** What is made when it is first asked for, and kept; what has failed is made again. */
export function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null
  return () => {
    if (made !== null) return made.value
    const kept = { value: make() }
    made = kept
    // A promise fails later.
    if (kept.value instanceof Promise)
      kept.value.catch(() => {
        if (made === kept) made = null
      })
    return kept.value
  }
}
