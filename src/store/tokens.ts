import { and, desc, eq, gt, isNull, lt, or, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import * as v from 'valibot'
import type { Scope } from '../rules/roles.js'
import type { OwnLimits } from '../rules/tokens.js'
import { cidrList, keptLimits, ownerList, scopeList } from '../wire/access.js'
import { tokens, type TokenRow } from './access-schema.js'
import { bound, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

/** A token as it is worked with: its lists are lists. */
export interface Token extends Omit<TokenRow, 'owners' | 'scopes' | 'limits' | 'cidrs'> {
  owners: string[] | null
  scopes: Scope[]
  /** Its own; what is not here is as the default has it. */
  limits: OwnLimits
  cidrs: string[] | null
}

const json = <S extends v.GenericSchema>(schema: S) => v.pipe(v.string(), v.parseJson(), schema)
const columns = v.object({
  owners: v.nullable(json(ownerList)),
  scopes: json(scopeList),
  limits: json(keptLimits),
  cidrs: v.nullable(json(cidrList)),
})

export type TokenTable = ReturnType<typeof createTokenTable>

/** The rows of `tokens`. They are never deleted. */
export function createTokenTable(db: Database) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const seq = sql<number>`rowid`
  const thisOne = eq(tokens.id, placeholder('id'))
  const insert = orm.insert(tokens).values(rowOf(tokens)).prepare()
  const get = orm.select().from(tokens).where(thisOne).prepare()
  const notOver = and(
    isNull(tokens.revoked_at),
    or(isNull(tokens.expires_at), gt(tokens.expires_at, placeholder('now'))),
    or(isNull(tokens.uses_left), gt(tokens.uses_left, 0)),
  )
  const good = orm.select().from(tokens).where(notOver).prepare()
  const notInvites = sql`${tokens.kind} <> 'inv'`
  const counts = orm
    .select({ made: sql<number>`count(*)`, good: sql<number>`coalesce(sum(${notOver}), 0)` })
    .from(tokens)
    .where(notInvites)
    .prepare()
  const page = orm
    .select({ seq, row: tokens })
    .from(tokens)
    .where(lt(seq, placeholder('before')))
    .orderBy(desc(seq))
    .limit(placeholder('limit'))
    .prepare()
  const revoke = orm
    .update(tokens)
    .set({ revoked_at: bound('at') })
    .where(and(thisOne, isNull(tokens.revoked_at)))
    .prepare()
  const replace = orm
    .update(tokens)
    .set({ replaced_by: bound('by'), expires_at: bound('expires_at') })
    .where(and(thisOne, isNull(tokens.replaced_by), isNull(tokens.revoked_at)))
    .prepare()
  const use = orm
    .update(tokens)
    .set({ uses_left: sql`${tokens.uses_left} - 1` })
    .where(and(thisOne, eq(tokens.kind, 'inv'), notOver))
    .prepare()
  const touch = orm
    .update(tokens)
    .set({ last_used_at: bound('at') })
    .where(thisOne)
    .prepare()

  return {
    insert({ owners, scopes, limits, cidrs, ...rest }: Token) {
      insert.run({
        ...rest,
        owners: owners === null ? null : JSON.stringify(owners),
        scopes: JSON.stringify(scopes),
        limits: JSON.stringify(limits),
        cidrs: cidrs === null ? null : JSON.stringify(cidrs),
      })
    },
    /** @throws when the row cannot be read */
    get(id: string): Token | undefined {
      const row = get.get({ id })
      return row === undefined ? undefined : readToken(row)
    },
    /**
     * Those that open something now, for memory. A row that cannot be read opens nothing; its id is in `broken`.
     * @param now Unix seconds
     */
    good(now: number): { tokens: Token[]; broken: string[] } {
      const broken: string[] = []
      const read = good.all({ now }).flatMap((row) => {
        const token = tokenOf(row)
        if (token === null) broken.push(row.id)
        return token ?? []
      })
      return { tokens: read, broken }
    },
    /** How many there are, without invites: made at any time, and good now (Unix seconds). */
    counts: (now: number): { made: number; good: number } => counts.get({ now }) ?? { made: 0, good: 0 },
    /** Those made before `before`, newest first; `next` is where the next page begins, null after the last. */
    page(before: number | null, limit: number): { tokens: Token[]; next: number | null } {
      const rows = page.all({ before: before ?? Number.MAX_SAFE_INTEGER, limit })
      return {
        tokens: rows.map(({ row }) => readToken(row)),
        next: rows.length < limit ? null : (rows.at(-1)?.seq ?? null),
      }
    },
    /** @returns whether it was not revoked before */
    revoke: (id: string, at: number): boolean => revoke.run({ id, at }).changes === 1,
    /** @returns whether it had no successor, and was not revoked */
    replace: (id: string, by: string, expires_at: number): boolean => replace.run({ id, by, expires_at }).changes === 1,
    /** Takes one use of an invite. @returns whether it had one @param now Unix seconds */
    use: (id: string, now: number): boolean => use.run({ id, now }).changes === 1,
    /** When it was used last: written now and then, with other rows. @param at Unix seconds */
    touch: (id: string, at: number) => touch.run({ id, at }),
  }
}

function tokenOf(row: TokenRow): Token | null {
  const read = v.safeParse(columns, row)
  return read.success ? { ...row, ...read.output } : null
}

function readToken(row: TokenRow): Token {
  const token = tokenOf(row)
  if (token === null)
    throw new Error(`token ${row.id}: its row in the database cannot be read; was it changed by hand?`)
  return token
}
