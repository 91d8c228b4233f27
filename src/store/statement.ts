import { getTableColumns, sql, type Column, type SQL, type SQLWrapper } from 'drizzle-orm'
import { SQLiteSyncDialect, type SQLiteTable } from 'drizzle-orm/sqlite-core'

// How statements are made of the schema: a column that is renamed there, and not here, does not compile.

type ColumnOf<T extends SQLiteTable> = keyof T['$inferSelect'] & string

/** The values that `?` stands for in a statement, one for each of these columns. */
export type Bound<Row, Columns extends readonly (keyof Row)[]> = { -readonly [I in keyof Columns]: Row[Columns[I]] }

const dialect = new SQLiteSyncDialect()

/**
 * The text of a statement for better-sqlite3, with its values as literals and `?` for what is bound.
 * @throws when a placeholder of drizzle is in it: it would be bound by nobody
 */
export function render(statement: SQL): string {
  const { sql: text, params } = dialect.sqlToQuery(statement.inlineParams())
  if (params.length > 0) throw new Error(`${text}: it has placeholders of drizzle; write ? or @name instead`)
  return text
}

/**
 * A query of drizzle that is prepared with its values as literals. A bound LIMIT, or a bound value that the choice of a
 * partial index hangs on, costs a new query plan at every call.
 */
export function literal<Query extends SQLWrapper>(query: Query): Query {
  const getSQL = query.getSQL.bind(query)
  query.getSQL = () => getSQL().inlineParams()
  return query
}

/** The bare name of a column, where that of its table may not stand: to the left of a `=` in SET. */
export const name = (column: Column): SQL => sql`${sql.identifier(column.name)}`

/** `a, b`: for the SELECT of one table, or the columns of an INSERT. */
export const names = <Row>(columns: readonly (keyof Row & string)[]): SQL =>
  sql.join(
    columns.map((c) => sql.identifier(c)),
    sql`, `,
  )

/** `?, ?`: the values of an INSERT. */
export const marks = (columns: readonly string[]): SQL => sql.raw(columns.map(() => '?').join(', '))

/** `a = ?, b = ?`: for the SET of an UPDATE. */
export const updates = <Row>(columns: readonly (keyof Row & string)[]): SQL =>
  sql.join(
    columns.map((c) => sql`${sql.identifier(c)} = ?`),
    sql`, `,
  )

/** A value of a prepared query in a place where drizzle takes SQL: in the SET of an UPDATE. */
export const bound = (name: string): SQL => sql`${sql.placeholder(name)}`

/** For an INSERT of whole rows: every column that is not made of others, with a placeholder of its name. */
export const rowOf = <T extends SQLiteTable>(table: T) => each(columnsOf(table), bound)

/** For the update of an upsert: every column but the key, from the row that was to be inserted. */
export const excluded = <T extends SQLiteTable, Key extends ColumnOf<T>>(table: T, key: Key) =>
  each(columnsOf(table, key), (c) => sql`excluded.${sql.identifier(c)}`)

const columnsOf = <T extends SQLiteTable, Key extends ColumnOf<T> = never>(table: T, but?: Key) =>
  Object.entries<Column>(getTableColumns(table)).flatMap(([c, { generated }]) =>
    c === but || generated !== undefined ? [] : [c as Exclude<ColumnOf<T>, Key>],
  )

const each = <Name extends string>(columns: readonly Name[], value: (column: Name) => SQL) =>
  // Object.fromEntries forgets which keys there are.
  Object.fromEntries(columns.map((c) => [c, value(c)])) as Record<Name, SQL>
