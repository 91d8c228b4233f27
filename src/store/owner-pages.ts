import { sql } from 'drizzle-orm'
import { openLines } from './lines.js'
import { RUN_ROWS } from './owner-runs.js'
import { conditions, line, perCombination, t, type TaskFilter } from './page-statements.js'
import type { Page } from './pages.js'
import { indexes, inferenceTasks, ownerKey } from './schema.js'
import { render } from './statement.js'
import type { TaskTexts } from './task-texts.js'
import type { Database, Statement } from './sqlite.js'

/** So many rows are looked at for a page, of all owners together: a few milliseconds. */
export const OWNED_ROWS_A_PAGE = 2000
/** So many beginnings of runs are read at once: about as many rows as are looked at for a page. */
const RUNS_AT_ONCE = 64

type Wanted = Omit<TaskFilter, 'status'> & Range & { owner: string; limit: number }
type Found = Statement<[Wanted], Match>
interface Match {
  seq: number
  line: string
}
/** Rows from `first` on, below `past`. */
interface Range {
  first: number
  past: number
}

/**
 * The list of the tasks of some owners. What a page costs does not depend on how many tasks others have: of their rows it looks only at
 * those that lie in the runs of these owners.
 */
export function createOwnerPages(db: Database, texts: TaskTexts) {
  const firsts = db
    .prepare<{ key: string; before: number }, number>(
      render(sql`SELECT rowid FROM ${inferenceTasks} INDEXED BY ${sql.identifier(indexes.tasksOfOwner)}
      WHERE owner_key = @key AND owner_key > '' AND in_run IS NULL AND rowid < @before
      ORDER BY rowid DESC LIMIT ${RUNS_AT_ONCE}`),
    )
    .pluck()
  const perStatus = new Map<TaskFilter['status'], (filter: TaskFilter) => Found>()
  const foundOf = (filter: TaskFilter): Found => {
    const made =
      perStatus.get(filter.status) ??
      perCombination((f): Found =>
        db.prepare(
          render(sql`SELECT ${t}.rowid AS seq, ${line((c) => t[c])} AS line FROM ${inferenceTasks} AS ${t} NOT INDEXED
            WHERE ${t}.rowid >= @first AND ${t}.rowid < @past AND ${t}.owner_id = @owner AND ${conditions(f)}
            ORDER BY ${t}.rowid DESC LIMIT @limit`),
        ),
      )
    perStatus.set(filter.status, made)
    return made(filter)
  }

  /**
   * Tasks of one owner below `before`, newest first: at most `limit`, from among so many rows.
   * @returns with the place that was reached; 0 where that is the end
   */
  const ofOwner = (owner: string, filter: TaskFilter, before: number, rows: number, limit: number) => {
    const { model, user, node } = filter
    const found = foundOf(filter)
    const matches: Match[] = []
    let left = rows
    for (let low = before; ;) {
      const begun = firsts.all({ key: ownerKey(owner), before: low })
      for (const range of rangesOf(begun, low)) {
        const { past } = range
        const first = Math.max(range.first, past - left)
        matches.push(...found.all({ model, user, node, owner, first, past, limit: limit - matches.length }))
        left -= past - first
        low = first
        if (matches.length === limit || left <= 0) return { matches, low }
      }
      if (begun.length < RUNS_AT_ONCE) return { matches, low: 0 }
    }
  }

  return {
    /**
     * Tasks of these owners older than `before`, newest first: at most `limit`, from among OWNED_ROWS_A_PAGE rows. So a page
     * may be short, even empty, and not be the last; every match is on exactly one page.
     */
    ownedPage(owners: readonly string[], filter: TaskFilter, before: number | null, limit: number): Page {
      const all = [...new Set(owners)]
      const rows = Math.max(1, Math.floor(OWNED_ROWS_A_PAGE / Math.max(1, all.length)))
      const found = all.map((owner) => ofOwner(owner, filter, before ?? Number.MAX_SAFE_INTEGER, rows, limit + 1))
      // Below the highest place where one owner was left, the others wait for it: the list is in one order.
      const low = Math.max(0, ...found.map((owned) => owned.low))
      const matches = found
        .flatMap((owned) => owned.matches)
        .filter(({ seq }) => seq >= low)
        .sort((a, b) => b.seq - a.seq)
      const page = matches.slice(0, limit)
      const next = matches.length > limit ? (page.at(-1)?.seq ?? low) : low
      return { tasks: openLines(`[${page.map((match) => match.line).join(',')}]`, texts), next: next > 0 ? next : null }
    },
  }
}

/** The rows of runs, from the newest on, as few ranges as they are. @param firsts where they begin, the newest first @param before none is above */
function rangesOf(firsts: readonly number[], before: number): Range[] {
  const ranges: Range[] = []
  let next = before
  for (const first of firsts) {
    const past = Math.min(first + RUN_ROWS, next)
    const newer = ranges.at(-1)
    if (newer?.first === past) newer.first = first
    else ranges.push({ first, past })
    next = first
  }
  return ranges
}
