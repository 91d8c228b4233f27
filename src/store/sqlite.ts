import BetterSqlite3 from 'better-sqlite3'
import { createRequire } from 'node:module'

/**
 * The Node-API that better-sqlite3 13 is built on, Node 22.14 and newer: on an older Node it ends the process with a
 * segmentation fault. better-sqlite3 12 does so from Node 24.19 on, when the garbage collector meets a statement.
 */
const NODE_API = 10

/** The connection to a database, by the better-sqlite3 that runs on this Node: 13, or 12 on Node 20. */
export const Database: typeof BetterSqlite3 = Number(process.versions.napi) >= NODE_API ? BetterSqlite3 : loadOlder()
export type Database = BetterSqlite3.Database
export type Statement<Parameters extends unknown[], Row = unknown> = BetterSqlite3.Statement<Parameters, Row>

/** @throws Error when it was not installed, or for another Node */
function loadOlder(): typeof BetterSqlite3 {
  try {
    const Older = createRequire(import.meta.url)('sqlite-node20') as typeof BetterSqlite3
    new Older(':memory:').close() // loads the binary, which belongs to one version of Node
    return Older
  } catch (cause) {
    throw new Error(
      `SQLite is not installed for Node ${process.versions.node}: run "npm ci" again under it, with a C++ toolchain, or use Node 22.14 or newer`,
      { cause },
    )
  }
}

/** Of the file, without its log. */
export const bytesOf = (db: Database): number =>
  Number(db.pragma('page_count', { simple: true })) * Number(db.pragma('page_size', { simple: true }))

/**
 * For what the core writes, and what repeats it. Of a CHECK with a list SQLite makes a table at each statement: a sixth of what a task
 * costs. The words that are written are those of the types; whoever else writes the file is checked, and `check` looks at what is there.
 */
export function leaveChecksOut(db: Database): void {
  db.pragma('ignore_check_constraints = ON')
}
