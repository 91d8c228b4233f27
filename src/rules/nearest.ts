/** So many letters may be wrong at most, and no more than one in so many. */
const MOST_WRONG = 3
const LETTERS_PER_WRONG = 3

/**
 * How many letters have to be put in, taken out or replaced to make one text of the other, or `most + 1` when it is more than
 * `most`. It compares each letter with `2 * most + 1` others, and gives up where it is more already.
 * @param most from 0, small
 */
export function editDistance(a: string, b: string, most: number): number {
  const beyond = most + 1
  const shift = b.length - a.length
  if (Math.abs(shift) > most) return beyond
  // Of letter `i` of `a`, at place k + 1: the distance up to letter `i + k - most` of `b`. Each row is written over the one
  // before; the first place and the last are beyond its ends.
  const row = new Uint8Array(2 * most + 3).fill(beyond)
  for (let k = most; k <= 2 * most; k++) row[k + 1] = k - most
  const at = (place: number): number => row[place] ?? beyond
  for (let i = 1; i <= a.length; i++) {
    let least = beyond
    for (let k = 0; k <= 2 * most; k++) {
      const j = i + k - most
      let distance = beyond
      if (j === 0) distance = Math.min(i, beyond)
      else if (j > 0 && j <= b.length) {
        const replaced = at(k + 1) + (a.charCodeAt(i - 1) === b.charCodeAt(j - 1) ? 0 : 1)
        distance = Math.min(replaced, Math.min(at(k), at(k + 2)) + 1, beyond)
      }
      row[k + 1] = distance
      if (distance < least) least = distance
    }
    if (least > most) return beyond
  }
  return at(shift + most + 1)
}

/** The names that may have been meant by `name`, the nearest first, at most `count`. Both are in the form they are compared in. */
export function nearestNames(name: string, names: Iterable<string>, count: number): string[] {
  const most = Math.min(MOST_WRONG, Math.floor(name.length / LETTERS_PER_WRONG))
  const near: { name: string; distance: number }[] = []
  for (const candidate of names) {
    const distance = editDistance(name, candidate, most)
    if (distance <= most) near.push({ name: candidate, distance })
  }
  return near
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map((n) => n.name)
}
