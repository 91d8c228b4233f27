/** How long the service takes from its start to its first healthy answer, with little and with much stored. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEFAULT_CLI, generate } from './generate.mjs'
import { readArgs } from './lib/args.mjs'
import { openNodes } from './lib/node.mjs'
import { showSpread, spread } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'
import { createRest } from './lib/submitter.mjs'
import { OUTPUT } from './lib/tasks.mjs'
import { timedTask } from './sessions/load.mjs'

const options = readArgs(
  'Start of the service: spawn to the first healthy GET /health, after a stop and after SIGKILL under load.',
  {
    tasks: [1_000_000, 100_000, 'stored tasks of the large database'],
    pending: [10_000, 10_000, 'of them pending'],
    file: ['', '', 'a generated database to use instead (the benchmark adds tasks to it)'],
    runs: [5, 2, 'runs of each case; the median is shown'],
  },
)
const cli = options.cli || DEFAULT_CLI
const report = createReport('start', options)
const folder = mkdtempSync(join(tmpdir(), 'bench-start-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
// Starved tasks are written at the first look: that is no part of a usual start, and a kept file grows old.
/** No stored task asks for it: those that are pending stay so. */
const MODEL = 'bench-start'
const config = { starvation_after: 86_400 * 365, max_queue_time: 0, shutdown_timeout: 0 }
const start = (database) => startService({ cli, database, config })

/** Drops what the system keeps of a file in memory; false where that is not possible. */
function drop(file) {
  const gone = [file, `${file}-wal`].filter((f) => (statSync(f, { throwIfNoEntry: false })?.size ?? 0) > 0)
  return gone.every(
    (f) =>
      spawnSync('dd', [`of=${f}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' }).status ===
      0,
  )
}

/** Work until the write-ahead log holds some megabytes, and then SIGKILL. */
async function killUnderLoad(database) {
  const service = await start(database)
  const lost = () => {}
  await openNodes(service.url, 10, (i) => ({
    id: `start-${i}`,
    slots: 10,
    models: [MODEL],
    onClose: lost,
    onError: lost,
    onTask: (task, node) => (node.accept(task), node.complete(task, OUTPUT)),
  }))
  const rest = createRest(service.url)
  let killed = false
  const submitting = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (!killed) await rest.batch(Array.from({ length: 100 }, (_, i) => timedTask(i, MODEL))).catch(lost)
    }),
  )
  await sleep(options.quick ? 700 : 1500)
  process.kill(service.pid, 'SIGKILL')
  killed = true
  await service.stop()
  rest.close()
  await submitting
  return statSync(`${database}-wal`).size
}

const large = options.file || join(folder, 'large.db')
if (!options.file) {
  const made = await generate({ file: large, tasks: options.tasks, pending: options.pending, cli })
  report.say(`made ${made.tasks} tasks, ${(made.bytes / 1e9).toFixed(2)} GB, in ${made.seconds.toFixed(0)} s`)
}
await start(large).then((s) => s.stop()) // once, so that every page is where it will be
const rows = [['', 'page cache', 'ready, ms', 'WAL to recover, MB']]
const measure = async (name, cache, makeDatabase, before) => {
  const taken = []
  let wal = 0
  for (let run = 0; run < options.runs; run++) {
    const database = makeDatabase(run)
    wal = Math.max(wal, (await before(database)) ?? 0)
    const service = await start(database)
    taken.push(service.ready)
    await service.stop()
  }
  rows.push([name, cache, showSpread(spread(taken)), wal === 0 ? '' : (wal / 1e6).toFixed(1)])
  report.raw(`${name}, ${cache}`, taken)
  return spread(taken)
}
const same = () => large
const stored = `${options.tasks.toLocaleString('en-US')} stored`
await measure(
  'no database yet',
  'warm',
  (run) => join(folder, `empty-${run}.db`),
  () => {},
)
const warm = await measure(`${stored}, after a stop`, 'warm', same, () => {})
if (drop(large)) {
  await measure(`${stored}, after a stop`, 'cold', same, (database) => {
    drop(database)
  })
} else report.say('the page cache cannot be emptied here: no cold starts')
const killed = await measure(`${stored}, after SIGKILL under load`, 'warm', same, killUnderLoad)
if (drop(large)) {
  await measure(`${stored}, after SIGKILL under load`, 'cold', same, async (database) => {
    const wal = await killUnderLoad(database)
    drop(database)
    return wal
  })
}
report.table('From the start of the process to the first healthy answer', rows)
report.summary('start', `${showSpread(warm, ' ms')}, after SIGKILL ${showSpread(killed, ' ms')} (must 2000, aim 500)`, {
  warm: warm.median,
  killed: killed.median,
})
report.finish()
