/** Numbers that follow from a seed (mulberry32), and the choices that are made with them. */
export function createRandom(seed) {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (n) => Math.floor(next() * n)
  const pick = (list) => list[below(list.length)]
  return {
    next,
    below,
    pick,
    chance: (p) => next() < p,
    bytes: (n) => Buffer.from(Array.from({ length: n }, () => below(256))),
    /** A text of up to `n` characters, many of them unusual. */
    text: (n) =>
      Array.from({ length: below(n + 1) }, () =>
        pick([
          'a',
          '0',
          '"',
          '\\',
          '{',
          '[',
          ',',
          '\u0000',
          '\u202e',
          '\ud800',
          '你',
          '🚀',
          '/',
          '..',
          '%2e',
          "'",
          ';--',
        ]),
      ).join(''),
  }
}
