import { desc, eq, inArray, lte, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { forgottenNodes, inferenceNodes as nodes, nodeEpoch, type NodeRow } from './schema.js'
import { bound, excluded, literal, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

/** The row that knows the last epoch. */
const EPOCH_ROW = 1
/** So many names of forgotten nodes are kept for their keys; those that are free the soonest make room for more. */
const MAX_KEPT_NAMES = 100_000

export type NodeTable = ReturnType<typeof createNodeTable>

/** The rows of `inference_nodes`, and what is kept of those that were forgotten. */
export function createNodeTable(db: Database) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const thisOne = eq(nodes.node_id, placeholder('node_id'))
  // Of 10,000 hellos too: 4 us each, as with a statement of better-sqlite3 that binds by name.
  const save = orm
    .insert(nodes)
    .values(rowOf(nodes))
    .onConflictDoUpdate({ target: nodes.node_id, set: excluded(nodes, 'node_id') })
    .prepare()
  const all = orm.select().from(nodes).prepare()
  const get = orm.select().from(nodes).where(thisOne).prepare()
  const forget = orm.delete(nodes).where(thisOne).prepare()
  const nextEpoch = orm
    .insert(nodeEpoch)
    .values({ id: EPOCH_ROW, last: 1 })
    .onConflictDoUpdate({ target: nodeEpoch.id, set: { last: sql`${nodeEpoch.last} + 1` } })
    .returning({ last: nodeEpoch.last })
    .prepare()

  const { node_id, public_key, kept_until_ms } = forgottenNodes
  const thisName = eq(node_id, placeholder('node_id'))
  const keep = orm
    .insert(forgottenNodes)
    .values(rowOf(forgottenNodes))
    .onConflictDoUpdate({ target: node_id, set: excluded(forgottenNodes, 'node_id') })
    .prepare()
  const keptFor = orm.select({ public_key, kept_until_ms }).from(forgottenNodes).where(thisName).prepare()
  const free = orm.delete(forgottenNodes).where(thisName).prepare()
  const freeOld = orm
    .delete(forgottenNodes)
    .where(lte(kept_until_ms, bound('time')))
    .prepare()
  const freeTooMany = literal(
    orm
      .delete(forgottenNodes)
      .where(
        inArray(
          node_id,
          orm.select({ node_id }).from(forgottenNodes).orderBy(desc(kept_until_ms)).limit(1).offset(MAX_KEPT_NAMES),
        ),
      ),
  ).prepare()

  return {
    save: (row: NodeRow) => save.run(row),
    all: () => all.all(),
    get: (node_id: string) => get.get({ node_id }),
    forget: (node_id: string) => forget.run({ node_id }),
    /** An epoch that no node has had, higher than all of them. */
    nextEpoch(): number {
      const row = nextEpoch.get()
      if (row === undefined) throw new Error('the row of the last epoch cannot be written')
      return row.last
    },
    /** Keeps a name for a key (normalized) until `until`, service clock, ms. */
    keepName(node_id: string, public_key: string, until: number, now: number) {
      freeOld.run({ time: now })
      keep.run({ node_id, public_key, kept_until_ms: until })
      freeTooMany.run()
    },
    /** The key that a name is kept for; null when anybody may have it. */
    nameKeptFor(node_id: string, now: number): string | null {
      const kept = keptFor.get({ node_id })
      return kept !== undefined && kept.kept_until_ms > now ? kept.public_key : null
    },
    /** The name is in use again: what was kept for it is its node's own now. */
    freeName: (node_id: string) => free.run({ node_id }),
  }
}
