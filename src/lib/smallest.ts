/**
 * The `n` smallest texts above `after`, in order, without sorting the rest: a page of a list that nobody keeps sorted. 100,000
 * texts take a few milliseconds.
 */
export function smallest(texts: Iterable<string>, after: string | null, n: number): string[] {
  let found: string[] = []
  // The largest of the n smallest so far: most texts are above it.
  let most: string | undefined
  const trim = (): void => {
    found = found.sort(byUnits).slice(0, n)
    most = found.length === n ? found.at(-1) : undefined
  }
  for (const text of texts) {
    if ((after !== null && text <= after) || (most !== undefined && text >= most)) continue
    found.push(text)
    if (found.length >= 2 * n) trim()
  }
  trim()
  return found
}

const byUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
