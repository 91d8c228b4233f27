import { and, eq, isNotNull, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { nodeKeys, type NodeKeyRow } from './access-schema.js'
import { inferenceNodes } from './schema.js'
import { excluded, literal, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

export type NodeKeyTable = ReturnType<typeof createNodeKeyTable>

/** The rows of `node_keys`. A key is normalized: 33 bytes, lower-case hex. */
export function createNodeKeyTable(db: Database) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const save = orm
    .insert(nodeKeys)
    .values(rowOf(nodeKeys))
    .onConflictDoUpdate({ target: nodeKeys.public_key, set: excluded(nodeKeys, 'public_key') })
    .prepare()
  const get = orm
    .select()
    .from(nodeKeys)
    .where(eq(nodeKeys.public_key, placeholder('public_key')))
    .prepare()
  const all = orm.select().from(nodeKeys).prepare()
  const bound = literal(
    orm
      .select()
      .from(nodeKeys)
      .where(and(eq(nodeKeys.state, 'enrolled'), isNotNull(nodeKeys.node_id))),
  ).prepare()
  const ofNode = orm
    .select()
    .from(nodeKeys)
    .where(sql`node_id = ${placeholder('node_id')} and state = 'enrolled' and node_id is not null`)
    .prepare()
  const provenKey = orm
    .select({ public_key: inferenceNodes.public_key })
    .from(inferenceNodes)
    .where(and(eq(inferenceNodes.node_id, placeholder('node_id')), eq(inferenceNodes.key_proven, 1)))
    .prepare()
  const isKnown = orm
    .select({ node_id: inferenceNodes.node_id })
    .from(inferenceNodes)
    .where(eq(inferenceNodes.node_id, placeholder('node_id')))
    .prepare()

  return {
    save: (row: NodeKeyRow) => save.run(row),
    get: (public_key: string): NodeKeyRow | undefined => get.get({ public_key }),
    all: (): NodeKeyRow[] => all.all(),
    /** The keys that took the place of another: their nodes are to know them. */
    bound: (): NodeKeyRow[] => bound.all(),
    /** The key of a node, normalized: the one that was put in its place, or the one it has proven; null where there is neither. */
    keyOf: (node_id: string): string | null =>
      ofNode.get({ node_id })?.public_key ?? provenKey.get({ node_id })?.public_key ?? null,
    /** Whether the file knows a node by that name. */
    isKnown: (node_id: string): boolean => isKnown.get({ node_id }) !== undefined,
  }
}
