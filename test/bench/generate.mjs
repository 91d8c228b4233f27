/**
 * Makes a database with many stored tasks, just as the service would have left it: for benchmarks, and to try things on.
 *
 *   node test/bench/generate.mjs --tasks=1000000 --out=FILE [--pending=10000] [--body=500] [--output=300] [--days=60] [--seed=1]
 *
 * It takes about 15 s and 1.5 GB a million. `stacks-signer check --database FILE` says that the file is sound.
 */
import { existsSync, mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { Database } from '../../dist/store/sqlite.js'
import { createRows } from './stored/rows.mjs'

const ROWS_A_TRANSACTION = 100_000
const GB = 1e9
export const DEFAULT_CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

/** What a file of so many tasks takes on the disk, bytes; rather too much. */
export const estimate = ({ tasks, body, output }) => Math.ceil(tasks * (650 + Math.ceil((body + output) * 1.15)))

const columns = (row) => Object.keys(row)
const insertInto = (db, table, row) =>
  db.prepare(
    `INSERT INTO ${table} ("${columns(row).join('","')}") VALUES (${columns(row)
      .map(() => '?')
      .join(',')})`,
  )

/** @param file must not exist. @throws when the disk has no room for it */
export async function generate({
  file,
  tasks,
  pending = 10_000,
  body = 500,
  output = 300,
  days = 60,
  seed = 1,
  cli = DEFAULT_CLI,
  say = () => {},
}) {
  if (existsSync(file)) throw new Error(`${file} exists; choose another --out, or use it with --file`)
  const disk = statfsSync(dirname(resolve(file)))
  const free = disk.bavail * disk.bsize
  const needed = estimate({ tasks, body, output })
  if (needed * 1.1 > free)
    throw new Error(
      `${file}: ${tasks} tasks need about ${(needed / GB).toFixed(1)} GB, and ${dirname(resolve(file))} has ${(free / GB).toFixed(1)} GB free; choose another folder with --out, or fewer --tasks`,
    )
  // The service's own schema, by its own migrations.
  const { openDatabase } = await import(pathToFileURL(join(dirname(resolve(cli)), 'store/open.js')).href)
  openDatabase(file).close()
  const db = new Database(file)
  // Nothing is lost if this is interrupted: the file is then thrown away.
  for (const pragma of ['journal_mode = OFF', 'synchronous = OFF', 'locking_mode = EXCLUSIVE', 'cache_size = -131072'])
    db.pragma(pragma)
  const now = Date.now()
  const rows = createRows({ tasks, pending: Math.min(pending, tasks), body, output, days, now, seed })
  let addTask, addAttempt
  // --cli may be of an older version.
  const isNew = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'ended_attempts'").get() !== undefined
  const attemptTable = isNew ? 'ended_attempts' : 'attempts'
  const began = performance.now()
  const some = db.transaction((from, to) => {
    for (let i = from; i < to; i++) {
      const { task, attempts } = rows.row(i)
      addTask ??= insertInto(db, 'inference_tasks', task)
      addTask.run(Object.values(task))
      for (const attempt of attempts) {
        addAttempt ??= insertInto(db, attemptTable, attempt)
        addAttempt.run(Object.values(attempt))
      }
    }
  })
  for (let from = 0; from < tasks; from += ROWS_A_TRANSACTION) {
    some(from, Math.min(tasks, from + ROWS_A_TRANSACTION))
    if (from % (10 * ROWS_A_TRANSACTION) === 0)
      say(`${from} of ${tasks} tasks, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
  db.transaction(() => {
    for (const node of rows.nodes()) insertInto(db, 'inference_nodes', node).run(Object.values(node))
    for (const [status, n] of Object.entries(rows.counts))
      db.prepare('INSERT INTO task_counts (status, tasks) VALUES (?, ?)').run(status, n)
    db.prepare('INSERT INTO service_clock (id, alive_ms, alive_at) VALUES (1, ?, ?)').run(now, Math.floor(now / 1000))
  })()
  db.pragma('synchronous = FULL')
  db.pragma('locking_mode = NORMAL')
  db.pragma('journal_mode = WAL')
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
  return { file, tasks, seconds: (performance.now() - began) / 1000, bytes: statSync(file).size, counts: rows.counts }
}

/** Deletes a database with what lies beside it. */
export function removeDatabase(file) {
  for (const suffix of ['', '-wal', '-shm', '-journal', '.lock', '.lock-journal'])
    rmSync(file + suffix, { force: true })
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: Object.fromEntries([
      ...['tasks', 'pending', 'body', 'output', 'days', 'seed', 'out', 'cli'].map((name) => [name, { type: 'string' }]),
      ['help', { type: 'boolean' }],
    ]),
  })
  if (values.help) {
    console.log(
      'node test/bench/generate.mjs [--tasks=1000000] [--out=FILE] [--pending=10000] [--body=500] [--output=300] [--days=60] [--seed=1] [--cli=dist/cli.js]',
    )
  } else {
    const { out, cli, ...numbers } = values
    const file = out ?? join(mkdtempSync(join(tmpdir(), 'stored-')), 'stored.db')
    try {
      const made = await generate({
        tasks: 1_000_000,
        ...Object.fromEntries(Object.entries(numbers).map(([k, v]) => [k, Number(v)])),
        file,
        ...(cli === undefined ? {} : { cli }),
        say: console.error,
      })
      console.log(`${made.file}: ${made.tasks} tasks, ${(made.bytes / GB).toFixed(2)} GB, ${made.seconds.toFixed(0)} s`)
    } catch (error) {
      console.error(`generate: ${error.message}`)
      process.exitCode = 1
    }
  }
}
