import { cutToWidth, textWidth } from '../../lib/text-width.js'
import { oneLine } from '../../lib/table.js'

export type Style = 'bold' | 'dim' | 'good' | 'warn' | 'bad' | 'chosen'

/** Text of one kind. */
export interface Span {
  text: string
  style?: Style | undefined
}
export type Line = readonly Span[]

/** Colour says nothing that words do not say too. */
const CODES: Readonly<Record<Style, string>> = { bold: '1', dim: '2', good: '32', warn: '33', bad: '1;31', chosen: '7' }

export const line = (text: string, style?: Style): Line => [{ text, style }]

/**
 * A line as a terminal shows it, cut to a width. Control characters are shown, not sent: it may hold what a stranger wrote.
 * @param columns from 1
 */
export function paint(spans: Line, columns: number, isColoured: boolean): string {
  let left = columns
  let painted = ''
  for (const { text, style } of spans) {
    const whole = oneLine(text)
    if (whole === '') continue
    if (left <= 0) break
    const shown = cutToWidth(whole, left)
    left -= textWidth(shown)
    painted += isColoured && style !== undefined ? `\x1b[${CODES[style]}m${shown}\x1b[0m` : shown
    if (shown !== whole) break
  }
  return painted
}

/** Two texts at both ends of a line; what is on the right goes where there is no room for both. */
export function spread(left: Line, right: string, columns: number): Line {
  const taken = left.reduce((sum, { text }) => sum + textWidth(oneLine(text)), 0)
  const room = columns - taken - textWidth(right)
  return room < 2 ? left : [...left, { text: ' '.repeat(room) }, { text: right, style: 'dim' }]
}

const BARS = '▁▂▃▄▅▆▇█'

/**
 * Numbers as bars, the largest the highest; several share one where there are more than columns, and then the largest of them
 * counts. Nothing was measured where there is no bar.
 */
export function sparkline(values: readonly (number | null)[], columns: number): string {
  const each = Math.max(1, Math.ceil(values.length / Math.max(1, columns)))
  // The newest is whole: those that are too many for the first are left out.
  const groups = Array.from({ length: Math.floor(values.length / each) }, (_, i, from = values.length % each) =>
    values.slice(from + i * each, from + (i + 1) * each).filter((value) => value !== null),
  )
  const highest = groups.map((group) => (group.length === 0 ? null : Math.max(...group)))
  const most = Math.max(0, ...highest.filter((value) => value !== null))
  return highest
    .map((value) => {
      if (value === null) return ' '
      // What is not nothing is seen.
      return BARS[value <= 0 || most === 0 ? 0 : Math.max(1, Math.round((value / most) * (BARS.length - 1)))] ?? ' '
    })
    .join('')
}
