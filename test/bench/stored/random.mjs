/** A seeded generator of numbers from 0 to below 1: the same file for the same seed. */
export function seeded(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** UUIDs of version 7, in the order of their times: they are appended to an index, not scattered over it. */
export function uuids(random) {
  let last = 0
  let count = 0
  const hex = (bits) =>
    Math.floor(random() * 2 ** bits)
      .toString(16)
      .padStart(bits / 4, '0')
  return (ms) => {
    count = ms === last ? count + 1 : 0
    last = ms
    const time = ms.toString(16).padStart(12, '0')
    const variant = (8 + Math.floor(random() * 4)).toString(16)
    return `${time.slice(0, 8)}-${time.slice(8)}-7${(count & 0xfff).toString(16).padStart(3, '0')}-${variant}${hex(12)}-${hex(24)}${hex(24)}`
  }
}

const WORDS =
  'the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she there would their we him been has when who will no more if out so said what up its about than into them can only other time new some could these two may first then do any like my now over such our man me even most made after also did many off before must well back through years where much your way down should because long each just state those people too mr how little good world make very year still see own work'.split(
    ' ',
  )

/** Texts of an exact length in bytes, cut from a few megabytes of words. */
export function texts(random) {
  let pool = ''
  while (pool.length < 2 ** 21) pool += `${WORDS[Math.floor(random() * WORDS.length)]} `
  return (bytes) => {
    if (bytes >= pool.length) return pool.repeat(Math.ceil(bytes / pool.length)).slice(0, bytes)
    const from = Math.floor(random() * (pool.length - bytes))
    return pool.slice(from, from + bytes)
  }
}
