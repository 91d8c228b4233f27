import * as v from 'valibot'
import type { Database, Statement } from './sqlite.js'

/** What this file has written, or was told, is not what the journal says: it is of no use to it. */
export class Diverged extends Error {}

/** The values are looked at one by one when they are bound: there are many. */
const recordBody = v.strictObject({
  sql: v.array(
    v.pipe(v.string(), v.regex(/^\s*(insert|update|delete|replace)\b/i, 'must be a statement that writes rows')),
  ),
  run: v.array(v.pipe(v.array(v.unknown()), v.minLength(1))),
})

/** What a record of a transaction says. @throws Error when the body is none */
export const readRecordBody = (body: Uint8Array): v.InferOutput<typeof recordBody> =>
  v.parse(recordBody, JSON.parse(Buffer.from(body).toString()))

/** Statements that are kept prepared; a service has some hundred of them. */
const MAX_PREPARED = 1000

/**
 * Runs what a transaction has written elsewhere, on a file that was the same before.
 * @returns runs one body, within the transaction of the caller. It throws Diverged when that changes nothing where it has changed
 * something there, and an Error when the body is none.
 */
export function createReplay(db: Database): (body: Uint8Array) => void {
  const prepared = new Map<string, Statement<unknown[]>>()
  const statementOf = (sql: string): Statement<unknown[]> => {
    let statement = prepared.get(sql)
    if (statement === undefined) {
      if (prepared.size >= MAX_PREPARED) prepared.clear()
      statement = db.prepare<unknown[]>(sql)
      prepared.set(sql, statement)
    }
    return statement
  }
  return (body) => {
    const { sql, run } = readRecordBody(body)
    for (const [text, ...noted] of run) {
      const source = typeof text === 'number' ? sql[text] : undefined
      if (source === undefined) throw new Error(`a record names its statement ${String(text)}, and has ${sql.length}`)
      const statement = statementOf(source)
      const values = noted.map(fromJson)
      const changed = statement.reader ? statement.all(...values).length : statement.run(...values).changes
      if (changed === 0) throw new Diverged(`this file is not as the owner's was: nothing was changed by ${source}`)
    }
  }
}

/** A value as it was bound; an object of them where a statement takes them by name. */
function fromJson(noted: unknown): unknown {
  if (noted === null || typeof noted === 'string' || typeof noted === 'number') return noted
  if (typeof noted !== 'object' || Array.isArray(noted)) throw new Error('a record has a value that SQLite has not')
  if ('i' in noted && typeof noted.i === 'string') return BigInt(noted.i)
  if ('b' in noted && typeof noted.b === 'string') return Buffer.from(noted.b, 'base64')
  if ('named' in noted && typeof noted.named === 'object' && noted.named !== null)
    return Object.fromEntries(Object.entries(noted.named).map(([name, value]) => [name, fromJson(value)]))
  throw new Error('a record has a value that SQLite has not')
}
