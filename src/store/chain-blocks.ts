import { desc, eq, lt, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { chainBlocks, type ChainBlockRow } from './settlement-schema.js'
import { bound, literal, rowOf } from './statement.js'
import type { Database } from './sqlite.js'

/** How many blocks below the highest one are kept: as long as a miner keeps a transaction in its mempool. */
const KEPT_BLOCKS = 256

export type ChainBlockTable = ReturnType<typeof createChainBlockTable>

/** The rows of `chain_blocks`: the newest blocks, of all forks. */
export function createChainBlockTable(db: Database) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const get = orm
    .select()
    .from(chainBlocks)
    .where(eq(chainBlocks.index_block_hash, placeholder('hash')))
    .prepare()
  const insert = orm.insert(chainBlocks).values(rowOf(chainBlocks)).onConflictDoNothing().prepare()
  const highest = literal(orm.select().from(chainBlocks).orderBy(desc(chainBlocks.height)).limit(1)).prepare()
  const prune = orm
    .delete(chainBlocks)
    .where(lt(chainBlocks.height, sql`${bound('height')}`))
    .prepare()
  return {
    get: (hash: string): ChainBlockRow | undefined => get.get({ hash }),
    /** Adds a block and forgets those that are too far below it. False when it was known. */
    add(block: ChainBlockRow): boolean {
      if (insert.run(block).changes === 0) return false
      prune.run({ height: block.height - KEPT_BLOCKS })
      return true
    },
    highest: (): ChainBlockRow | undefined => highest.get(),
    /** A block and its ancestors, as far as they are known without a gap, and the height of the lowest of them. */
    ancestors(hash: string): { hashes: ReadonlySet<string>; from: number } {
      const hashes = new Set<string>()
      let from = Infinity
      for (let block = get.get({ hash }); block !== undefined && hashes.size <= KEPT_BLOCKS;) {
        hashes.add(block.index_block_hash)
        from = block.height
        block = get.get({ hash: block.parent })
      }
      return { hashes, from }
    },
  }
}
