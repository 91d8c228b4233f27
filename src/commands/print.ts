import { fitTable, oneLine, type Cell, type Column } from '../lib/table.js'
import { outputWidth } from '../lib/output-width.js'
import { wrapWords } from '../lib/wrap.js'

/**
 * Prints a table. On a terminal it fits the width, and says what is not there; elsewhere, and with `wide`, it has everything.
 */
export function printTable(columns: readonly Column[], rows: readonly (readonly Cell[])[], wide: boolean): void {
  const { lines, leftOut, cut } = fitTable(columns, rows, wide ? Infinity : outputWidth())
  printLines(lines)
  const notes = [
    ...(leftOut.length > 0 ? [`Left out: ${leftOut.join(', ')}.`] : []),
    ...(cut.length > 0 ? [`Cut: ${cut.join(', ')}.`] : []),
  ]
  if (notes.length > 0) printLines(['', ...wrapWords(`${notes.join(' ')} --wide shows everything.`, outputWidth())])
}

/** Facts, one a line, their names in a column; one without a value is left out. */
export function printFacts(facts: readonly (readonly [name: string, value: string | number | null])[]): void {
  const there = facts.filter(([, value]) => value !== null)
  const width = Math.max(...there.map(([name]) => name.length)) + 2
  printLines(there.map(([name, value]) => `${name.padEnd(width)}${oneLine(String(value))}`))
}

export function printLines(lines: readonly string[]): void {
  for (const line of lines) console.log(line)
}

export const printJson = (data: unknown): void => console.log(JSON.stringify(data, null, 2))

/** Unix seconds as people read them; null where there is no time. */
export const timeOf = (seconds: number | null): string | null =>
  seconds === null ? null : new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z')

/** A duration as people read it, such as `3 d 4 h`: its two largest units. @param seconds from 0 */
export function durationOf(seconds: number): string {
  const units = [
    ['d', Math.floor(seconds / 86_400)],
    ['h', Math.floor(seconds / 3600) % 24],
    ['min', Math.floor(seconds / 60) % 60],
    ['s', Math.floor(seconds) % 60],
  ] as const
  const first = units.findIndex(([, n]) => n > 0)
  if (first < 0) return '0 s'
  return units
    .slice(first, first + 2)
    .flatMap(([unit, n]) => (n > 0 ? [`${n} ${unit}`] : []))
    .join(' ')
}

/** A share, 0 to 1, as a percentage; null where there is none. */
export const percentOf = (share: number | null): string | null =>
  share === null ? null : `${Math.round(share * 100)} %`

export const inSeconds = (seconds: number): string => `${seconds.toFixed(1)} s`

/** How far two moments are apart, for people; null where one of them is not known. @param from,to Unix ms */
export const between = (from: number | null | undefined, to: number | null | undefined): string | null =>
  from == null || to == null ? null : inSeconds((to - from) / 1000)
