import { eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { payeeDelegations, type DelegationRow } from './settlement-schema.js'
import { excluded, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

export type DelegationTable = ReturnType<typeof createDelegationTable>

/** The rows of `payee_delegations`. */
export function createDelegationTable(db: Database) {
  const orm = drizzle(db)
  const all = orm.select().from(payeeDelegations).prepare()
  const save = orm
    .insert(payeeDelegations)
    .values(rowOf(payeeDelegations))
    .onConflictDoUpdate({ target: payeeDelegations.node_key, set: excluded(payeeDelegations, 'node_key') })
    .prepare()
  const remove = orm
    .delete(payeeDelegations)
    .where(eq(payeeDelegations.node_key, sql.placeholder('node_key')))
    .prepare()
  return {
    all: (): DelegationRow[] => all.all(),
    save: (row: DelegationRow) => save.run(row),
    remove: (node_key: string) => remove.run({ node_key }),
  }
}
