import type { Database, Statement } from './sqlite.js'

type AnyStatement = Statement<unknown[]>

/** What a transaction has written so far: its statements with their values, as they will be run again elsewhere. */
export interface Recording {
  /** The same database, whose statements are noted when they have changed something. */
  db: Database
  /** A place to go back to. */
  mark(): number
  /** Forgets what was noted behind the mark: it was undone. */
  cut(mark: number): void
  /** What was noted since the last call, as one body; null: nothing. */
  take(): Buffer | null
}

/**
 * Notes what is written through a database, statement by statement. Run again in the same order on the same rows they write the same:
 * so no statement may ask for chance, for the time, or for rows in an order that is not said.
 * @param isOpen whether a transaction is open that will be taken: a write outside of it would be told to nobody
 */
export function recordStatements(db: Database, isOpen: () => boolean): Recording {
  const texts = new Map<string, number>()
  /** Each: the number of its text, and its values. They become JSON all at once, which costs half of one by one. */
  const noted: unknown[][] = []

  const note = (sql: string, values: readonly unknown[]): void => {
    if (!isOpen())
      throw new Error(`written outside of a transaction of the store, which the journal would miss: ${sql}`)
    let text = texts.get(sql)
    if (text === undefined) texts.set(sql, (text = texts.size))
    // Nearly all values are JSON as they are.
    const plain = values.every(isPlain) ? values : values.map(toJson)
    noted.push([text, ...plain])
  }
  const watched = <S extends AnyStatement>(statement: S, sql: string): S => {
    const run = statement.run.bind(statement)
    const get = statement.get.bind(statement)
    const all = statement.all.bind(statement)
    return Object.assign(statement, {
      run(...values: unknown[]) {
        const result = run(...values)
        if (result.changes > 0) note(sql, values)
        return result
      },
      // Of a statement that writes, its RETURNING: no row, no change.
      get(...values: unknown[]) {
        const row = get(...values)
        if (row !== undefined) note(sql, values)
        return row
      },
      all(...values: unknown[]) {
        const rows = all(...values)
        if (rows.length > 0) note(sql, values)
        return rows
      },
    })
  }

  const recorded = Object.create(db) as Database
  Object.assign(recorded, {
    prepare(sql: string) {
      const statement = db.prepare(sql)
      return statement.readonly ? statement : watched(statement, sql)
    },
  })
  return {
    db: recorded,
    mark: () => noted.length,
    cut(mark) {
      noted.length = mark
    },
    take() {
      if (noted.length === 0) return null
      const body = Buffer.from(JSON.stringify({ sql: [...texts.keys()], run: noted }))
      texts.clear()
      noted.length = 0
      return body
    },
  }
}

/** Numbers, text and null are themselves. */
const isPlain = (value: unknown): value is null | string | number =>
  value === null || typeof value === 'string' || typeof value === 'number'

/** A value as JSON. */
function toJson(value: unknown): unknown {
  if (isPlain(value)) return value
  if (typeof value === 'bigint') return { i: String(value) }
  if (Buffer.isBuffer(value)) return { b: value.toString('base64') }
  // Values by their names.
  if (typeof value === 'object')
    return { named: Object.fromEntries(Object.entries(value).map(([name, one]) => [name, toJson(one)])) }
  throw new TypeError(`SQLite has no value for a ${typeof value}`)
}
