import { sql } from 'drizzle-orm'
import { openLines } from './lines.js'
import { conditions, line, perCombination, t, type TaskFilter } from './page-statements.js'
import type { Page } from './pages.js'
import { indexes, inferenceTasks, ownerKey } from './schema.js'
import { render } from './statement.js'
import type { TaskTexts } from './task-texts.js'
import type { Database, Statement } from './sqlite.js'

/** So many rows are looked at for a page, of all owners together: a few milliseconds. */
export const OWNED_ROWS_A_PAGE = 2000

type Wanted = Omit<TaskFilter, 'status'> & { owner: string; key: string; before: number; rows: number; limit: number }

/** The list of the tasks of some owners: what a page costs does not depend on how many tasks others have. */
export function createOwnerPages(db: Database, texts: TaskTexts) {
  const looked = sql`SELECT rowid AS seq FROM ${inferenceTasks} INDEXED BY ${sql.identifier(indexes.tasksOfOwner)}
    WHERE owner_key = @key AND owner_key > '' AND rowid < @before
    ORDER BY rowid DESC LIMIT @rows`
  const lookedAt = db.prepare<[Pick<Wanted, 'key' | 'before' | 'rows'>], { n: number; low: number | null }>(
    render(sql`SELECT count(*) AS n, min(seq) AS low FROM (${looked})`),
  )
  const perStatus = new Map<TaskFilter['status'], (filter: TaskFilter) => Found>()
  const foundOf = (filter: TaskFilter): Found => {
    const made =
      perStatus.get(filter.status) ??
      perCombination((f): Found =>
        db.prepare(
          render(sql`SELECT ${t}.rowid AS seq, ${line((c) => t[c])} AS line
            FROM (${looked}) AS s CROSS JOIN ${inferenceTasks} AS ${t} ON ${t}.rowid = s.seq
            WHERE ${t}.owner_id = @owner AND ${conditions(f)} ORDER BY ${t}.rowid DESC LIMIT @limit`),
        ),
      )
    perStatus.set(filter.status, made)
    return made(filter)
  }

  return {
    /**
     * Tasks of these owners older than `before`, newest first: at most `limit`, from among the next OWNED_ROWS_A_PAGE. So a page
     * may be short, even empty, and not be the last; every match is on exactly one page.
     */
    ownedPage(owners: readonly string[], filter: TaskFilter, before: number | null, limit: number): Page {
      const from = before ?? Number.MAX_SAFE_INTEGER
      const all = [...new Set(owners)]
      const rows = Math.max(1, Math.floor(OWNED_ROWS_A_PAGE / Math.max(1, all.length)))
      // Below the highest place where one owner was left, the others wait for it: the list is in one order.
      let low = 0
      for (const owner of all) {
        const reached = lookedAt.get({ key: ownerKey(owner), before: from, rows })
        if (reached?.n === rows) low = Math.max(low, reached.low ?? 0)
      }
      const found = foundOf(filter)
      const { model, user, node } = filter
      const matches = all
        .flatMap((owner) =>
          found.all({ model, user, node, owner, key: ownerKey(owner), before: from, rows, limit: limit + 1 }),
        )
        .filter(({ seq }) => seq >= low)
        .sort((a, b) => b.seq - a.seq)
      const page = matches.slice(0, limit)
      const next = matches.length > limit ? (page.at(-1)?.seq ?? low) : low
      return { tasks: openLines(`[${page.map((match) => match.line).join(',')}]`, texts), next: next > 0 ? next : null }
    },
  }
}

type Found = Statement<[Wanted], { seq: number; line: string }>
