import { cutToWidth, textWidth } from './text-width.js'

/** A cell: text goes to the left of its column, a number to the right; nothing is a dash. */
export type Cell = string | number | null

export interface Column {
  title: string
  /** The lower, the sooner the column is left out where there is no room; absent: never. */
  importance?: number
  /** Where there is no room its cells are cut, to so many columns of the terminal; absent: they are whole. */
  shrinksTo?: number
}

export interface FittedTable {
  lines: string[]
  /** The titles of the columns that are not there. */
  leftOut: string[]
  /** The titles of the columns of which something was cut. */
  cut: string[]
}

const GAP = 2

interface Shown extends Column {
  cells: { text: string; right: boolean }[]
  /** Of its widest cell, in columns of the terminal. */
  natural: number
  least: number
  isEmpty: boolean
}

/**
 * A table that fits a width, if it can: it leaves out columns in which nothing is, cuts what may be cut, then leaves out whole
 * columns, the least important first. What may not be left out stays whole, be it wider. Control characters are shown, not sent:
 * a cell may hold what a stranger wrote.
 * @param width in columns of a terminal; Infinity for everything
 */
export function fitTable(columns: readonly Column[], rows: readonly (readonly Cell[])[], width: number): FittedTable {
  const all = columns.map((column, i): Shown => {
    const cells = rows.map((row) => {
      const cell = row[i] ?? null
      return { text: cell === null ? '-' : oneLine(String(cell)), right: typeof cell === 'number' }
    })
    const natural = Math.max(column.title.length, ...cells.map(({ text }) => textWidth(text)))
    const least = Math.min(natural, Math.max(column.title.length, column.shrinksTo ?? natural))
    return { ...column, cells, natural, least, isEmpty: rows.every((row) => (row[i] ?? null) === null) }
  })
  const shown = new Set(all)
  const room = (of: 'natural' | 'least'): number => width - [...shown].reduce((sum, c) => sum + c[of] + GAP, -GAP)
  const optional = all
    .filter((c) => c.importance !== undefined)
    .sort((a, b) => (a.importance ?? 0) - (b.importance ?? 0))
  for (const column of optional) if (column.isEmpty && room('natural') < 0) shown.delete(column)
  for (const column of optional) if (room('least') < 0) shown.delete(column)
  // A wide one may have made room for what went before it.
  for (const column of optional.toReversed())
    if (!column.isEmpty && !shown.has(column) && room('least') >= column.least + GAP) shown.add(column)

  let left = Math.max(0, room('least'))
  const widths = new Map(
    all.map((column) => {
      const more = shown.has(column) ? Math.min(left, column.natural - column.least) : 0
      left -= more
      return [column, column.least + more]
    }),
  )
  const drawn = all.filter((c) => shown.has(c))
  const line = (cellOf: (column: Shown) => { text: string; right: boolean } | undefined): string =>
    drawn
      .map((column) => {
        const { text = '', right = false } = cellOf(column) ?? {}
        const columnWidth = widths.get(column) ?? 0
        const fitted = cutToWidth(text, columnWidth)
        const padding = ' '.repeat(Math.max(0, columnWidth - textWidth(fitted)))
        return right ? padding + fitted : fitted + padding
      })
      .join(' '.repeat(GAP))
      .trimEnd()
  return {
    lines: [
      line(({ title }) => ({ text: title, right: false })),
      drawn.map((c) => '-'.repeat(widths.get(c) ?? 0)).join(' '.repeat(GAP)),
      ...rows.map((_, i) => line(({ cells }) => cells[i])),
    ],
    leftOut: all.filter((c) => !shown.has(c)).map((c) => c.title),
    cut: drawn.filter((c) => (widths.get(c) ?? 0) < c.natural).map((c) => c.title),
  }
}

/** The lines of a table with everything in it. */
export const table = (head: readonly string[], rows: readonly (readonly Cell[])[]): string[] =>
  fitTable(
    head.map((title) => ({ title })),
    rows,
    Infinity,
  ).lines

/**
 * What must not reach a terminal as it is: it moves the cursor, turns the direction of writing, is not seen, or ends the line.
 * The two that only choose how an emoji is drawn are harmless behind one.
 */
const UNSAFE =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|(?![\ufe0e\ufe0f])\p{Default_Ignorable_Code_Point}|(?<!\p{Extended_Pictographic})[\ufe0e\ufe0f]/gu

/** The text with everything that must not reach a terminal shown as an escape. */
export const oneLine = (text: string): string => text.replace(UNSAFE, escaped)

/** What a text of several lines keeps beside: the ends of its lines, tabs, and what joins letters in Persian or Hindi, or emoji. */
const KEPT_IN_TEXT = new Set(['\n', '\t', '\u200c', '\u200d'])

/** The same for a text of several lines. */
export const harmless = (text: string): string =>
  text.replaceAll('\r\n', '\n').replace(UNSAFE, (c) => (KEPT_IN_TEXT.has(c) ? c : escaped(c)))

function escaped(c: string): string {
  if (c === '\n') return '\\n'
  if (c === '\t') return '\\t'
  const hex = (c.codePointAt(0) ?? 0).toString(16)
  return hex.length <= 2 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`
}
