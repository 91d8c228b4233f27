/**
 * The crash proof: `node test/crash/run.mjs --kills 200 [--seed N] [--dir FOLDER]
 * [--thread yes]` (the core in a thread of its own) `[--slow yes]` (a slow disk, which is synced beside the core). The serving process is killed at random
 * moments and exactly at every named point around a commit, again and again, while submitters and nodes work against
 * it. In the end everything that was promised must be there, and nothing twice. Exit code 1, with the seed, if not.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Database } from '../../dist/store/sqlite.js'
import { checkDatabase, checkMetrics, checkStats, print } from './check.mjs'
import { createWorld } from './clients.mjs'
import { createChoice, readFlags } from './random.mjs'
import { createRecord } from './record.mjs'
import { createServer, quickSettings } from './server.mjs'

const POINTS = ['before commit', 'after commit', 'after sync', 'after reply']
/** The longest one serving process may live, and the end may take, ms. */
const PATIENCE = 60_000

const flags = readFlags(process.argv.slice(2), {
  kills: '200',
  seed: String(Math.floor(Math.random() * 2 ** 31)),
  dir: '',
  thread: 'no',
  slow: 'no',
})
const kills = Number(flags.kills)
const dir = flags.dir === '' ? mkdtempSync(join(tmpdir(), 'inference-crash-')) : flags.dir
mkdirSync(dir, { recursive: true })
const file = join(dir, 'inference.db')
const choice = createChoice(flags.seed)
const record = createRecord()
console.log(
  `crash proof: ${kills} kills, seed ${flags.seed}${flags.thread === 'yes' ? ', the core in a thread' : ''}${flags.slow === 'yes' ? ', a slow disk' : ''}`,
)

/** Every fifth kill comes from outside, at any moment after the start; the others at the n-th passage of a point. */
function planOf(i) {
  const kind = (i + Math.floor(choice('first kind') * 5)) % 5
  if (kind < POINTS.length) return { point: POINTS[kind], nth: 1 + Math.floor(choice('nth', i) ** 2 * 60) }
  const early = choice('early', i) < 0.2
  return { point: null, after: early ? choice('after', i) * 60 : 60 + choice('after', i) * 400 }
}

const server = createServer(
  {
    database_path: file,
    ...quickSettings,
    max_attempts: 4,
    core_thread: flags.thread === 'yes',
  },
  {},
  flags.slow === 'yes' ? 3 : 0,
)
const world = createWorld({ server, record, choice })
const killed = {
  'at a random moment': 0,
  ...Object.fromEntries(POINTS.map((p) => [p, 0])),
  'of these before it listened': 0,
}
const began = Date.now()

for (let i = 0; i < kills; i++) {
  const plan = planOf(i)
  const one = server.start(plan.point === null ? null : plan)
  let listened = false
  const watch = setInterval(() => (listened ||= one.url !== null), 1)
  if (plan.point === null) void sleep(plan.after).then(() => one.child.kill('SIGKILL'))
  const late = setTimeout(() => {
    record.violate(`kill ${i} (${JSON.stringify(plan)}) did not come within ${PATIENCE} ms`)
    one.child.kill('SIGKILL')
  }, PATIENCE)
  const { code, signal } = await one.exit
  clearTimeout(late)
  clearInterval(watch)
  if (signal !== 'SIGKILL') record.violate(`the service ended by itself at kill ${i}: ${signal ?? code} ${one.errors}`)
  killed[plan.point ?? 'at a random moment']++
  if (!listened) killed['of these before it listened']++
  if (record.violations.length > 0) break
  if ((i + 1) % 50 === 0)
    console.log(`  ${i + 1} kills, ${record.tasks.size} tasks acknowledged, ${record.results.size} results settled`)
}

const last = server.start(null)
const stats = await world.finish(PATIENCE)
const scrape = last.url === null ? '' : await (await fetch(`${last.url}/metrics`)).text()
await world.end()
last.child.kill('SIGTERM')
const late = setTimeout(() => last.child.kill('SIGKILL'), PATIENCE)
const { code } = await last.exit
clearTimeout(late)
if (code !== 0) record.violate(`the last stop did not end with 0: ${code} ${last.errors}`)
await server.end()

const db = new Database(file)
const wrong = [
  ...record.violations,
  ...checkDatabase(db, record, { done: true }),
  ...checkStats(db, stats),
  ...checkMetrics(stats, scrape),
]
const count = (sql) => db.prepare(sql).pluck().get()
const begun = count('SELECT count(*) FROM attempts WHERE accepted_ms IS NOT NULL')
const completed = count("SELECT count(*) FROM inference_tasks WHERE status = 'completed'")
console.log('kills')
print(killed)
console.log('work')
print({
  'tasks acknowledged': record.tasks.size,
  'results settled': record.results.size,
  'tasks completed': completed,
  'tasks failed for good': count("SELECT count(*) FROM inference_tasks WHERE status IN ('failed', 'timeout')"),
  'attempts begun': begun,
  'attempts that failed or were lost by nodes': count(
    "SELECT count(*) FROM attempts WHERE end IN ('failed', 'lost') AND accepted_ms IS NOT NULL",
  ),
  'attempts lost by the coordinator': count("SELECT count(*) FROM attempts WHERE fault = 'coordinator'"),
  'results computed twice': record.figures['results sent'] - completed,
  ...record.figures,
  seconds: Math.round((Date.now() - began) / 1000),
})
db.close()

// A check that never fails proves nothing: it must find what is done to a copy.
for (const damage of [
  "DELETE FROM inference_tasks WHERE task_id = (SELECT task_id FROM inference_tasks WHERE status = 'completed' LIMIT 1)",
  "UPDATE inference_tasks SET output = output || ' ' WHERE rowid = (SELECT rowid FROM inference_tasks WHERE status = 'completed' LIMIT 1)",
  'UPDATE ended_attempts SET ended_ms = NULL, end = NULL WHERE rowid = (SELECT max(rowid) FROM ended_attempts)',
  "UPDATE inference_tasks SET open_lease_ms = 1 WHERE rowid = (SELECT rowid FROM inference_tasks WHERE status = 'completed' LIMIT 1)",
  'DELETE FROM ended_attempts WHERE rowid = (SELECT max(rowid) FROM ended_attempts)',
  "UPDATE task_counts SET tasks = tasks + 1 WHERE status = 'completed'",
]) {
  const copy = join(dir, 'damaged.db')
  copyFileSync(file, copy)
  const damaged = new Database(copy)
  damaged.exec(damage)
  if (checkDatabase(damaged, record, { done: true }).length === 0) wrong.push(`the check does not notice: ${damage}`)
  damaged.close()
}

console.log(`violations  ${wrong.length}`)
for (const text of wrong.slice(0, 20)) console.log(`  ${text.slice(0, 500)}`)
if (wrong.length > 0) {
  console.log(
    `FAILED; the database is ${file}; replay with: node test/crash/run.mjs --kills ${kills} --seed ${flags.seed} --thread ${flags.thread}`,
  )
  process.exitCode = 1
} else if (flags.dir === '') rmSync(dir, { recursive: true })
