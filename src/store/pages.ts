import type { TaskStatus } from '../rules/lifecycle.js'
import type { TaskRow } from './schema.js'
import type { Database, Statement } from './sqlite.js'

/** A page is looked for in at most this many rows, however many are stored. */
export const ROWS_A_PAGE = 10_000
/** And for this long, ms, by which it may be late for as long as one step takes. */
export const PAGE_TIME = 3

/** How many rows one step looks at: few at first, since rows with long texts, or that the system has to read from the disk, take long. */
const STEPS = [20, 80, 300] as const
/** A step that took less than this, ms, is followed by a longer one, if there is any. */
const SHORT = 0.5
/** After one that took more it goes on with shorter ones. */
const LONG = 1.5
/** What waits or runs is sorted as a whole, by an index that is there for other reasons, while there is no more than this of it. */
const FEW = 1000

/** A line of the list of tasks: everything but the texts. */
export type TaskLine = Pick<TaskRow, (typeof columns)[number]>
const columns = [
  'task_id',
  'status',
  'user_address',
  'model_name',
  'model_type',
  'infer_fee',
  'max_infer_time',
  'attempt',
  'inference_node_id',
  'created_at',
  'updated_at',
  'completed_at',
  'error',
] as const

export interface TaskFilter {
  status: TaskStatus | null
  /** In the form names are compared in; a family too. */
  model: string | null
  user: string | null
  /** A node that was given the task. */
  node: string | null
}

export interface Page {
  /** A JSON array of TaskLine, newest first: as text, because it goes to another thread, and from there to the socket. */
  tasks: string
  /** Where the next page begins; null after the last. */
  next: number | null
}

/** Rows to look at, in the order of their making: those of a status, where an index has them in this order, or all. */
const inOrder = (status: TaskStatus | null): { from: string; where: string } =>
  status === 'failed' || status === 'timeout'
    ? { from: 'inference_tasks AS t INDEXED BY tasks_not_done', where: `t.status = '${status}'` }
    : { from: 'inference_tasks AS t NOT INDEXED', where: 'true' }

/** Where there may be few rows of a status among very many, and an index has them in another order. */
const unordered: Partial<Record<TaskStatus, { from: string; count: string }>> = {
  pending: {
    from: "inference_tasks AS w INDEXED BY tasks_by_age WHERE w.status = 'pending'",
    count: "inference_tasks INDEXED BY tasks_by_age WHERE status = 'pending'",
  },
  in_progress: {
    from: 'attempts AS o INDEXED BY attempts_open CROSS JOIN inference_tasks AS w ON w.task_id = o.task_id WHERE o.ended_ms IS NULL',
    count: 'attempts INDEXED BY attempts_open WHERE ended_ms IS NULL',
  },
}

/** What a row must be. The status is a literal, so that the plan is made once. */
const conditions = ({ status, model, user, node }: TaskFilter): string =>
  [
    status === null ? '' : ` AND t.status = '${status}'`,
    model === null ? '' : ' AND (t.model_key = @model OR t.model_type = @model)',
    user === null ? '' : ' AND t.user_address = @user',
    // The only attempt of a task was with the node that is written in the task: one look less for nearly every row.
    node === null
      ? ''
      : ` AND (t.inference_node_id = @node OR ((t.attempt <> 1 OR t.inference_node_id IS NULL)
          AND EXISTS (SELECT 1 FROM attempts AS a WHERE a.task_id = t.task_id AND a.node_id = @node)))`,
  ].join('')

type Found = { n: number; last: number | null; tasks: string }
const lines = (from: string): string => `
  SELECT count(*) AS n, min(seq) AS last, json_group_array(json_object(${columns.map((c) => `'${c}', ${c}`).join(', ')})) AS tasks
  FROM (SELECT t.rowid AS seq, ${columns.map((c) => `t.${c}`).join(', ')} FROM ${from} LIMIT @limit)`

/** The list of tasks, a page at a time: what a page costs does not depend on how many are stored. */
export function createPages(db: Database) {
  const prepared = new Map<string, Statement<[Record<string, unknown>]>>()
  /** Made when they are first asked for: there are as many as there are combinations of filters, and few are ever used. */
  const get = <Row>(sql: string, values: object): Row | undefined => {
    let statement = prepared.get(sql)
    if (statement === undefined) {
      statement = db.prepare(sql)
      prepared.set(sql, statement)
    }
    return statement.get({ ...values }) as Row | undefined
  }

  /** All of a status at once; null where there may be too many. */
  const whole = (filter: TaskFilter, before: number, limit: number): Page | null => {
    const source = filter.status === null ? undefined : unordered[filter.status]
    if (source === undefined) return null
    const { n = 0 } =
      get<{ n: number }>(`SELECT count(*) AS n FROM (SELECT 1 FROM ${source.count} LIMIT ${FEW + 1})`, {}) ?? {}
    if (n > FEW) return null
    const rows = `(SELECT w.rowid AS seq FROM ${source.from} AND w.rowid < @before ORDER BY w.rowid DESC LIMIT ${FEW}) AS s
      CROSS JOIN inference_tasks AS t ON t.rowid = s.seq WHERE true${conditions(filter)}`
    const found = get<Found>(lines(rows), { ...filter, before, limit })
    if (found === undefined || found.n < limit || found.last === null)
      return { tasks: found?.tasks ?? '[]', next: null }
    const older = get(`SELECT 1 FROM ${source.from} AND w.rowid < @before LIMIT 1`, { before: found.last })
    return { tasks: found.tasks, next: older === undefined ? null : found.last }
  }

  return {
    /**
     * Tasks older than `before`, newest first: at most `limit`, from among the next ROWS_A_PAGE, and no more than are found
     * within PAGE_TIME. So a page may be short, even empty, and not be the last; every match is on exactly one page.
     * @param now a clock, ms
     */
    page(filter: TaskFilter, before: number | null, limit: number, now: () => number): Page {
      const began = now()
      let from = before ?? Number.MAX_SAFE_INTEGER
      const all = whole(filter, from, limit)
      if (all !== null) return all
      const source = inOrder(filter.status)
      const parts: string[] = []
      let left = limit
      let looked = 0
      for (let size = 0; ;) {
        const step = STEPS[size] ?? STEPS[0]
        const began1 = now()
        // By the number of rows, and not by their numbers: a deletion may have left long gaps.
        const low =
          get<{ seq: number }>(
            `SELECT t.rowid AS seq FROM ${source.from} WHERE ${source.where} AND t.rowid < @before ORDER BY t.rowid DESC LIMIT 1 OFFSET ${step - 1}`,
            { before: from },
          )?.seq ?? 0
        const found = get<Found>(
          lines(
            `${source.from} WHERE ${source.where} AND t.rowid < @before AND t.rowid >= @low${conditions(filter)} ORDER BY t.rowid DESC`,
          ),
          { ...filter, before: from, low, limit: left },
        )
        if (found !== undefined && found.n > 0) parts.push(found.tasks.slice(1, -1))
        left -= found?.n ?? 0
        from = left === 0 ? (found?.last ?? low) : low
        looked += step
        const at = now()
        const took = at - began1
        if (took < SHORT) size = Math.min(size + 1, STEPS.length - 1)
        else if (took > LONG) size = Math.max(size - 1, 0)
        if (left === 0 || from === 0 || at - began >= PAGE_TIME || looked + (STEPS[size] ?? 0) > ROWS_A_PAGE) break
      }
      const older =
        from === 0
          ? undefined
          : get(`SELECT 1 FROM ${source.from} WHERE ${source.where} AND t.rowid < @before LIMIT 1`, { before: from })
      return { tasks: `[${parts.join(',')}]`, next: older === undefined ? null : from }
    },
  }
}
