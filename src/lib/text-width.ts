/** What takes two columns beside emoji: the wide and full-width characters of Unicode's East Asian Width. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1d300}-\u{1d376}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]/u
/** What is drawn over the character before it, or is the later part of a Korean syllable. */
const NONE = /[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff\ud7b0-\ud7ff]/u
/** A character that is an emoji by itself, or is asked to be one. */
const EMOJI = /\p{Emoji_Presentation}|\ufe0f/u
const PLAIN = /^[\x20-\x7e]*$/

let segmenter: Intl.Segmenter | undefined
/** What a reader takes for one character, one after the other. It is made with the first text that needs it: that takes 20 ms. */
const segmentsOf = (text: string): Intl.Segments =>
  (segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' })).segment(text)

/** The columns of what a reader takes for one character. */
function widthOfCharacter(character: string): number {
  if (PLAIN.test(character)) return character.length
  if (EMOJI.test(character)) return 2
  let width = 0
  for (const point of character) width += NONE.test(point) ? 0 : WIDE.test(point) ? 2 : 1
  return width
}

/** How many columns of a terminal a text without control characters takes. */
export function textWidth(text: string): number {
  if (PLAIN.test(text)) return text.length
  let width = 0
  for (const { segment } of segmentsOf(text)) width += widthOfCharacter(segment)
  return width
}

/** The text, or as much of its beginning as fits into so many columns with a "…" behind it. @param columns from 1 */
export function cutToWidth(text: string, columns: number): string {
  if (text.length <= columns && PLAIN.test(text)) return text
  let width = 0
  let end = 0 // of what fits with the "…"
  for (const { segment, index } of segmentsOf(text)) {
    width += widthOfCharacter(segment)
    if (width > columns) return `${text.slice(0, end)}…`
    if (width < columns) end = index + segment.length
  }
  return text
}
