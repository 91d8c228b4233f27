/** A cell: text goes to the left of its column, a number to the right; nothing is a dash. */
export type Cell = string | number | null

/** Columns as wide as their widest cell. Control characters are shown, not sent: a cell may hold what a stranger wrote. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const shown = rows.map((row) =>
    row.map((cell) => ({ text: cell === null ? '-' : oneLine(String(cell)), right: typeof cell === 'number' })),
  )
  const widths = head.map((title, i) => Math.max(title.length, ...shown.map((row) => row[i]?.text.length ?? 0)))
  const line = (row: readonly { text: string; right: boolean }[]): string =>
    row
      .map(({ text, right }, i) => (right ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  return [
    line(head.map((text) => ({ text, right: false }))),
    widths.map((w) => '-'.repeat(w)).join('  '),
    ...shown.map(line),
  ]
}

/** The text without anything that moves the cursor, turns the direction of writing, hides, or ends the line. */
export const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped)

/** The same, but for the ends of its lines. */
export const harmless = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => (c === '\n' ? c : escaped(c)))

function escaped(c: string): string {
  if (c === '\n') return '\\n'
  if (c === '\t') return '\\t'
  const hex = (c.codePointAt(0) ?? 0).toString(16)
  return hex.length <= 2 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`
}
