/** What a long history costs: an empty database against one with many stored tasks, in turns in one run. */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DEFAULT_CLI, generate } from './generate.mjs'
import { missed, readAll, reads, someIds, STATS, tableOf } from './growth/reads.mjs'
import { retention } from './growth/retention.mjs'
import { readArgs } from './lib/args.mjs'
import { latency, median, ratios, show, showLatency, showSpread, spread } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'
import { createRest, openSubmitter } from './lib/submitter.mjs'
import { startFleet } from './sessions/fleet.mjs'
import { throughput } from './sessions/load.mjs'

const options = readArgs(
  'A long history: throughput, /stats, pages of the list, and retention; empty against many stored tasks.',
  {
    tasks: [1_000_000, 100_000, 'stored tasks of the large database'],
    file: ['', '', 'a generated database to use instead (the benchmark adds tasks to it)'],
    'large-bodies': [50_000, 10_500, 'stored tasks of the database with bodies of 20 kB; 0 = without'],
    'large-file': ['', '', 'a generated database with large bodies to use instead'],
    load: [20_000, 2000, 'tasks of each throughput'],
    samples: [200, 4, 'calls of each read'],
    retention: [200_000, 20_000, 'stored tasks of the database that is cleared while it works; 0 = without'],
    runs: [5, 1, 'rounds of throughput'],
  },
)
/** No stored task asks for it: what is pending stays so. */
const MODEL = 'bench-growth'
/** Throughput with a long history against none. */
const MUST = 0.9
const cli = options.cli || DEFAULT_CLI
const report = createReport('growth', options)
const folder = mkdtempSync(join(tmpdir(), 'bench-growth-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

async function stored(name, given, rest) {
  if (given) return given
  const made = await generate({ file: join(folder, `${name}.db`), cli, ...rest })
  report.say(`made ${made.tasks} tasks, ${(made.bytes / 1e9).toFixed(2)} GB, in ${made.seconds.toFixed(0)} s`)
  return made.file
}

/** A service on a database, with ten nodes of ten slots. */
async function open(name, database, config = {}) {
  const service = await startService({ cli, database, config: { shutdown_timeout: 1, ...config } })
  const fleet = await startFleet({ url: service.url, cli, processes: 1 })
  await fleet.grow(10, { models: [MODEL], slots: 10 })
  // Where there are no submitter sessions the single submits go over REST.
  const session = await openSubmitter(service.url).catch(() => undefined)
  const world = { name, service, fleet, session, database }
  return {
    ...world,
    async withRest(work) {
      const rest = createRest(service.url)
      try {
        return await work(rest)
      } finally {
        rest.close()
      }
    },
    load(tasks, by) {
      return this.withRest((rest) => throughput(service, rest, fleet, tasks, by, { model: MODEL, session }))
    },
    total: () =>
      ['', '-wal'].reduce(
        (bytes, suffix) => bytes + (statSync(database + suffix, { throwIfNoEntry: false })?.size ?? 0),
        0,
      ),
    async close() {
      await session?.close()
      await fleet.stop()
      await service.stop()
    },
  }
}

const largeFile = await stored('large', options.file, { tasks: options.tasks })
const empty = await open('empty', join(folder, 'empty.db'))
const large = await open('large', largeFile)
const worlds = [empty, large]
const newest = await large.withRest(async (rest) => (await rest.get('/api/v1/stats')).total_tasks)
report.say(
  `large: ${newest.toLocaleString('en-US')} stored tasks; single submits over ${large.session === undefined ? 'REST' : 'a submitter session'}`,
)

const found = {}
async function read(world, title, tasks) {
  found[title] = await world.withRest(async (rest) =>
    readAll(rest, reads(tasks, await someIds(rest, tasks, 50)), options.samples),
  )
  report.table(`Reads, one at a time, nothing else to do: ${title}`, tableOf(found[title]))
}
await empty.load(1000, 100)
await large.load(1000, 100)
await read(empty, 'an empty database, and 1,000 tasks', 1000)
const LARGE = `${newest.toLocaleString('en-US')} stored tasks`
await read(large, LARGE, newest)
if (options['large-bodies'] > 0 || options['large-file']) {
  const file = await stored('bodies', options['large-file'], { tasks: options['large-bodies'], body: 20_000 })
  const bodies = await open('bodies', file)
  const tasks = await bodies.withRest(async (rest) => (await rest.get('/api/v1/stats')).total_tasks)
  await read(bodies, `${tasks.toLocaleString('en-US')} stored tasks with bodies of 20 kB`, tasks)
  await bodies.close()
}
report.raw('reads', found)

const taken = { bulk: { empty: [], large: [] }, single: { empty: [], large: [] }, cpu: { empty: [], large: [] } }
const bytesBefore = empty.total()
for (let run = 0; run < options.runs; run++) {
  for (const [kind, by] of [
    ['bulk', 100],
    ['single', 1],
  ]) {
    for (const world of run % 2 === 0 ? worlds : worlds.toReversed()) {
      const result = await world.load(options.load, by)
      taken[kind][world.name].push(result.perSecond)
      taken.cpu[world.name].push(result.cpuMicros)
    }
  }
}
const growing = (empty.total() - bytesBefore) / (2 * options.runs * options.load)
const ratio = (kind) => ratios(taken[kind].large, taken[kind].empty)
report.table('Submit, push, complete: 10 nodes x 10', [
  ['', 'empty, tasks/s', 'large, tasks/s', 'large / empty', 'must', ''],
  ...['bulk', 'single'].map((kind) => [
    kind,
    showSpread(spread(taken[kind].empty)),
    showSpread(spread(taken[kind].large)),
    showSpread(ratio(kind)),
    MUST,
    ratio(kind).median >= MUST ? 'ok' : 'MISSED',
  ]),
  [
    'CPU, us a task',
    showSpread(spread(taken.cpu.empty)),
    showSpread(spread(taken.cpu.large)),
    show(median(taken.cpu.large) / median(taken.cpu.empty)),
    '',
    '',
  ],
])
report.say(`the file grows by ${show(growing)} bytes a task (500-byte prompt, 200-byte output)`)
report.raw('throughput', taken)
for (const world of worlds) await world.close()
if (!options.file) for (const suffix of ['', '-wal', '-shm']) rmSync(largeFile + suffix, { force: true })

if (options.retention > 0) {
  const result = await retention({
    open,
    folder,
    cli,
    tasks: options.retention,
    load: options.load,
    runs: Math.max(2, options.runs),
  })
  report.table(`Retention beside full load: ${options.retention.toLocaleString('en-US')} stored, half of them due`, [
    ['', 'without', 'with', 'with / without'],
    [
      'bulk, tasks/s',
      showSpread(spread(result.without.bulk)),
      showSpread(spread(result.with.bulk)),
      showSpread(ratios(result.with.bulk, result.without.bulk)),
    ],
    [
      'single, tasks/s',
      showSpread(spread(result.without.single)),
      showSpread(spread(result.with.single)),
      showSpread(ratios(result.with.single, result.without.single)),
    ],
    [
      'answer to a single submit under load, p50 / p99, ms',
      showLatency(latency(result.without.answers)),
      showLatency(latency(result.with.answers)),
      '',
    ],
    ['deleted meanwhile, tasks/s', '', show(result.deletedPerSecond), ''],
  ])
  report.raw('retention', result)
}
const over = Object.values(found).flatMap(missed).length
const reading = Object.values(found).flatMap(Object.keys).length
report.summary(
  `${options.tasks.toLocaleString('en')} stored against empty`,
  `bulk ${show(ratio('bulk').median)}x, single ${show(ratio('single').median)}x (must 0.9); ${over} of ${reading} reads over their limit; /stats p99 ${show(found[LARGE][STATS].p99)} ms`,
  { bulk: ratio('bulk').median, single: ratio('single').median, over },
)
report.finish()
