/**
 * A map whose keys can be read in order, by UTF-16 units, from any place. Keys that are new are put in order when that is next asked:
 * among 10,000 others that takes a fraction of a millisecond, however many they are.
 */
export class SortedMap<V> extends Map<string, V> {
  #sorted: string[] = []
  readonly #added = new Set<string>()

  override set(key: string, value: V): this {
    if (!this.has(key)) this.#added.add(key)
    return super.set(key, value)
  }

  override delete(key: string): boolean {
    if (!super.delete(key)) return false
    if (!this.#added.delete(key)) this.#sorted.splice(this.#firstAfter(key) - 1, 1)
    return true
  }

  override clear(): void {
    super.clear()
    this.#added.clear()
    this.#sorted = []
  }

  /** Puts all keys in order now. */
  sort(): void {
    if (this.#added.size === 0) return
    // Two runs that are sorted: to sort both together only merges them.
    this.#sorted = [...this.#sorted, ...[...this.#added].sort()].sort()
    this.#added.clear()
  }

  /** The keys above `after`, in order; all of them when it is null. To be read before the map changes. */
  *keysAfter(after: string | null): Generator<string, void> {
    this.sort()
    for (let i = after === null ? 0 : this.#firstAfter(after); i < this.#sorted.length; i++) {
      const key = this.#sorted[i]
      if (key !== undefined) yield key
    }
  }

  /** The place of the first sorted key above a text. */
  #firstAfter(text: string): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#sorted[middle] ?? '') <= text) low = middle + 1
      else high = middle
    }
    return low
  }
}
