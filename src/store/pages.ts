import type { TaskStatus } from '../rules/lifecycle.js'
import { createPageStatements, type PageStatements, type TaskFilter } from './page-statements.js'
import { openLines } from './lines.js'
import type { TaskTexts } from './task-texts.js'
import type { Database } from './sqlite.js'

export type { TaskFilter, TaskLine } from './page-statements.js'

/** A page is looked for in at most this many rows, however many are stored. */
export const ROWS_A_PAGE = 10_000
/** And for this long, by which it may be late for as long as one step takes. */
export const PAGE_TIME_MS = 2

/** How many rows one step looks at: few at first, since rows with long texts, or that the system has to read from the disk, take long. */
const STEP_ROWS = [20, 80, 300] as const
/** A step that took less than this is followed by a longer one, if there is any. */
const SHORT_STEP_MS = 0.5
/** After one that took more it goes on with shorter ones. */
const LONG_STEP_MS = 1.5
/** What waits or runs is sorted as a whole, by an index that is there for other reasons, while there is no more than this of it. */
const MAX_SORTED_ROWS = 1000

export interface Page {
  /** A JSON array of TaskLine, newest first: as text, because it goes to another thread, and from there to the socket. */
  tasks: string
  /** Where the next page begins; null after the last. */
  next: number | null
}

/** The list of tasks, a page at a time: what a page costs does not depend on how many are stored. */
export function createPages(db: Database, texts: TaskTexts) {
  const made = new Map<TaskStatus | null, PageStatements>()
  const statementsOf = (status: TaskStatus | null): PageStatements => {
    const statements = made.get(status) ?? createPageStatements(db, status, STEP_ROWS, MAX_SORTED_ROWS)
    made.set(status, statements)
    return statements
  }

  /** All of a status at once; null where there may be too many. */
  const wholePage = ({ whole }: PageStatements, filter: TaskFilter, before: number, limit: number): Page | null => {
    if (whole === null || (whole.count.get()?.n ?? 0) > MAX_SORTED_ROWS) return null
    const found = whole.found(filter).get({ ...filter, before, limit })
    if (found === undefined || found.n < limit || found.last === null)
      return { tasks: found?.tasks ?? '[]', next: null }
    const older = whole.older.get({ before: found.last })
    return { tasks: found.tasks, next: older === undefined ? null : found.last }
  }

  return {
    /**
     * Tasks older than `before`, newest first: at most `limit`, from among the next ROWS_A_PAGE, and no more than are found
     * within PAGE_TIME_MS. So a page may be short, even empty, and not be the last; every match is on exactly one page.
     * @param now a clock, ms
     */
    page(filter: TaskFilter, before: number | null, limit: number, now: () => number): Page {
      const statements = statementsOf(filter.status)
      const began = now()
      let from = before ?? Number.MAX_SAFE_INTEGER
      const all = wholePage(statements, filter, from, limit)
      if (all !== null) return { ...all, tasks: openLines(all.tasks, texts) }
      const parts: string[] = []
      let left = limit
      let looked = 0
      for (let size = 0; ;) {
        const step = statements.steps[size]
        if (step === undefined) break
        const began1 = now()
        const low = step.last.get({ before: from })?.seq ?? 0
        const found = statements.found(filter).get({ ...filter, before: from, low, limit: left })
        if (found !== undefined && found.n > 0) parts.push(found.tasks.slice(1, -1))
        left -= found?.n ?? 0
        from = left === 0 ? (found?.last ?? low) : low
        looked += step.size
        const at = now()
        const took = at - began1
        if (took < SHORT_STEP_MS) size = Math.min(size + 1, STEP_ROWS.length - 1)
        else if (took > LONG_STEP_MS) size = Math.max(size - 1, 0)
        const next = STEP_ROWS[size] ?? 0
        if (left === 0 || from === 0 || at - began >= PAGE_TIME_MS || looked + next > ROWS_A_PAGE) break
      }
      const older = from === 0 ? undefined : statements.older.get({ before: from })
      return { tasks: openLines(`[${parts.join(',')}]`, texts), next: older === undefined ? null : from }
    },
  }
}
