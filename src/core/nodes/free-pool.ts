/** A set that a few members can be drawn from at random in constant time, however large it is. */
export class Pool<T> {
  readonly #items: T[] = []
  readonly #places = new Map<T, number>()

  get size(): number {
    return this.#items.length
  }

  has(item: T): boolean {
    return this.#places.has(item)
  }

  add(item: T): void {
    if (this.#places.has(item)) return
    this.#places.set(item, this.#items.length)
    this.#items.push(item)
  }

  delete(item: T): void {
    const place = this.#places.get(item)
    if (place === undefined) return
    this.#places.delete(item)
    const last = this.#items.pop()
    if (last === undefined || last === item) return
    this.#items[place] = last
    this.#places.set(last, place)
  }

  values(): readonly T[] {
    return this.#items
  }

  /** All members when there are at most `n`; else `n` different ones drawn with `random` (0 to 1). */
  draw(n: number, random: () => number): readonly T[] {
    if (this.#items.length <= n) return this.#items
    const drawn = new Set<T>()
    // Some draws repeat; with many more members than n the bound is never near.
    for (let i = 0; drawn.size < n && i < 4 * n; i++) {
      const item = this.#items[Math.floor(random() * this.#items.length)]
      if (item !== undefined) drawn.add(item)
    }
    return [...drawn]
  }
}
