import type { ArgsDef } from 'citty'
import type * as v from 'valibot'
import type { Cell, Column } from '../lib/table.js'
import { printJson, printLines, printTable } from './print.js'
import { parseFlags, serviceArgs, serviceAt, wideArg, type ServiceFlags } from './service-call.js'

/** The flags of a command that lists a page. @param cursorHint what its cursor is */
export const pageArgs = <H extends string>(cursorHint: H) =>
  ({
    limit: { type: 'string', description: 'At most so many, 1 to 1000', default: '50', valueHint: '50' },
    cursor: { type: 'string', description: 'Go on where a list before ended', valueHint: cursorHint },
    ...wideArg,
    ...serviceArgs,
  }) as const satisfies ArgsDef

/** Those of the flags that were given: the query of a request. */
export const givenFlags = (flags: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(Object.entries(flags).filter((e): e is [string, string] => typeof e[1] === 'string'))

export interface PageFlags extends ServiceFlags {
  json?: boolean | undefined
  wide?: boolean | undefined
}

export interface PagedList<P> {
  path: string
  /** What its query has to be. */
  query: v.GenericSchema
  /** The flags that are in it. */
  asked: Readonly<Record<string, unknown>>
  page: v.GenericSchema<unknown, P>
  columns: readonly Column[]
  rows(page: P): (readonly Cell[])[]
  /** What the next page has. */
  rest: string
}

/** Asks a service for a page, and prints it as a table, or as JSON. @throws ConfigError for a flag that is wrong */
export async function printPage<P extends { next_cursor: string | null }>(
  flags: PageFlags,
  { path, query, asked, page: schema, columns, rows, rest }: PagedList<P>,
): Promise<void> {
  const given = givenFlags(asked)
  parseFlags(query, given)
  const page = await serviceAt(flags).get(`${path}?${new URLSearchParams(given).toString()}`, schema)
  if (flags.json === true) return printJson(page)
  printTable(columns, rows(page), flags.wide === true)
  if (page.next_cursor !== null) printLines(['', `There are ${rest}: the same with --cursor ${page.next_cursor}`])
}
