/** Many node sessions: what one costs in memory and CPU, work among them, and how they come back after the service was down. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readArgs } from './lib/args.mjs'
import { median, show, showLatency, showSpread, spread } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'
import { freePort, startService } from './lib/service.mjs'
import { createRest } from './lib/submitter.mjs'
import { startFleet } from './sessions/fleet.mjs'
import { getLatency, idleLatency, throughput } from './sessions/load.mjs'
import { createMemoryProbe } from './sessions/memory.mjs'
import { storm } from './sessions/storm.mjs'

const options = readArgs(
  'Many node sessions: memory, CPU, latency, throughput, a storm of reconnects, and the cost of choosing a node.',
  {
    sessions: [10_000, 2000, 'sessions at the end'],
    processes: [3, 2, 'client processes that hold them'],
    seconds: [45, 6, 'how long the CPU of heartbeats is measured'],
    tasks: [20_000, 2000, 'tasks of each throughput'],
    heartbeat: [15, 15, 'seconds between the heartbeats of a session'],
    storm: [true, true, 'also the storm of reconnects (--no-storm is --storm=false)'],
    runs: [1, 1, 'runs of the storm, each kind'],
  },
)
const KIB = 1024
/** Sessions that are there before the memory is counted: they have warmed up every path. */
const WARM = 100
const cli = options.cli || fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

const most = Number(execFileSync('sh', ['-c', 'ulimit -n']).toString()) // "unlimited" is NaN, and more than enough
const needed = options.sessions + 200
if (most < needed) {
  console.error(
    `sessions: the service needs ${needed} open files and may have ${most}; raise it with: sh -c 'ulimit -n ${needed}; node test/bench/sessions.mjs', or take fewer --sessions`,
  )
  process.exit(2)
}

const report = createReport('sessions', options)
const folder = mkdtempSync(join(tmpdir(), 'bench-sessions-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const port = await freePort()
const probe = createMemoryProbe()
const start = () =>
  startService({
    cli,
    port,
    database: join(folder, 'inference.db'),
    monitor: true,
    nodeArgs: probe.nodeArgs,
    env: probe.env,
    config: { heartbeat_interval: options.heartbeat, max_sessions: Math.max(20_000, options.sessions) },
  })
let service = await start()
const fleet = await startFleet({ url: service.url, cli, processes: options.processes, heartbeat: options.heartbeat })
const sizes = [
  ...new Set([100, ...(options.quick ? [] : [1000]), options.sessions].filter((n) => n <= options.sessions)),
]

/** Resident memory and what of it is in use, after a collection: the least of three looks. */
async function memory() {
  const looks = []
  for (let i = 0; i < 3; i++) looks.push(await probe.look(service.pid))
  return {
    rss: Math.min(...looks.map((l) => l.rss)),
    used: median(looks.map((l) => l.heapUsed + l.external)),
    heap: median(looks.map((l) => l.heapUsed)),
  }
}
/** Share of one core over `seconds`. */
async function cpuShare(seconds) {
  const [cpu, began] = [service.cpu(), performance.now()]
  await sleep(seconds * 1000)
  return ((service.cpu() - cpu) / (performance.now() - began)) * 1000
}

report.say(
  `up to ${options.sessions} sessions in ${options.processes} processes, heartbeats every ${options.heartbeat} s`,
)
await fleet.grow(WARM)
/** Connections of its own for each round: the service closes those that are idle. */
async function withRest(work) {
  const rest = createRest(service.url)
  try {
    return await work(rest)
  } finally {
    rest.close()
  }
}
await withRest(async (rest) => {
  await throughput(service, rest, fleet, 2000, 100)
  await throughput(service, rest, fleet, 1000, 1)
})
const memories = [{ n: WARM, ...(await memory()), connect: 0, connectCpu: 0 }]
const dispatching = []
for (const n of sizes) {
  if (n > fleet.size) {
    const from = fleet.size
    const cpu = service.cpu()
    const connect = await fleet.grow(n)
    await sleep(500)
    const connectCpu = ((service.cpu() - cpu) / (n - from)) * 1e6
    await sleep(options.quick ? 1000 : 5000)
    memories.push({ n, ...(await memory()), connect: (n - from) / (connect / 1000), connectCpu })
  }
  dispatching.push(
    await withRest(async (rest) => {
      await service.loopDelay()
      const idle = await idleLatency(rest, fleet, options.quick ? 100 : 400)
      const bulk = await throughput(service, rest, fleet, options.tasks, 100)
      const single = await throughput(service, rest, fleet, options.tasks / 2, 1)
      const loop = await service.loopDelay()
      const stats = await getLatency(rest, '/api/v1/stats', 200)
      const nodes = await getLatency(rest, '/api/v1/nodes', 10)
      return { n, idle, bulk, single, loop, stats, nodes }
    }),
  )
}

const first = memories[0]
const perSession = memories.slice(1).map((m) => ({
  ...m,
  each: (m.rss - first.rss) / (m.n - first.n),
  usedEach: (m.used - first.used) / (m.n - first.n),
}))
report.table('Memory of the service after a collection', [
  [
    'sessions',
    'RSS, MiB',
    'RSS, KiB a session',
    'heap and buffers, KiB a session',
    'connected a second',
    'CPU, us a connect',
  ],
  [first.n, show(first.rss / KIB / KIB), '', '', '', ''],
  ...perSession.map((m) => [
    m.n,
    show(m.rss / KIB / KIB),
    show(m.each / KIB),
    show(m.usedEach / KIB),
    show(m.connect),
    show(m.connectCpu),
  ]),
])
await sleep(Math.min(options.heartbeat, options.quick ? 4 : 15) * 1000)
const shares = []
for (let i = 0; i < 3; i++) shares.push((await cpuShare(options.seconds / 3)) * 100)
const beating = await service.loopDelay()
await fleet.set({ heartbeat: 0 })
await sleep(500)
const quiet = (await cpuShare(options.quick ? 3 : 10)) * 100
await fleet.set({ heartbeat: options.heartbeat })
const after = await memory()
report.table(`${fleet.size} sessions, nothing to do`, [
  ['', 'of one core', 'event loop delay p99, ms'],
  [`heartbeats every ${options.heartbeat} s`, showSpread(spread(shares), '%'), show(beating.p99)],
  ['no heartbeats', show(quiet, '%'), ''],
])
report.say(
  `RSS with heartbeats and work behind it, after a collection: ${show((after.rss - first.rss) / (fleet.size - first.n) / KIB)} KiB a session`,
)
report.table('Work spread over all sessions', [
  [
    'sessions',
    'idle submit to node p50 / p99, ms',
    'bulk, tasks/s',
    'CPU, us a task',
    'single, tasks/s',
    'CPU, us a task',
    'loop p99, ms',
    '/stats p50 / p99, ms',
    '/nodes p50 / p99, ms',
  ],
  ...dispatching.map((d) => [
    d.n,
    showLatency(d.idle),
    show(d.bulk.perSecond),
    show(d.bulk.cpuMicros),
    show(d.single.perSecond),
    show(d.single.cpuMicros),
    show(d.loop.p99),
    showLatency(d.stats),
    showLatency(d.nodes),
  ]),
])
report.raw('memory', memories)
report.raw('shares', { shares, quiet })
report.raw('work', dispatching)
report.summary(
  'memory a session',
  `${show(perSession.at(-1)?.each / KIB)} KiB (must 15, aim 8)`,
  perSession.at(-1)?.each,
)
report.summary('CPU of heartbeats', `${show(median(shares))}% of a core (must 12, aim 6)`, median(shares))

const storms = []
if (options.storm !== 'false' && options.storm !== false) {
  const ends = { SIGKILL: async (s) => (process.kill(s.pid, 'SIGKILL'), s.stop()), 'a stop': (s) => s.stop() }
  for (let run = 0; run < options.runs; run++) {
    for (const [name, end] of Object.entries(ends)) {
      const result = await storm({ service, end, start, fleet, tasks: fleet.size })
      service = result.service
      storms.push({ name, ...result, service: undefined })
    }
  }
  report.table('The service ends while every session holds a task, and starts again', [
    [
      'by',
      'start, ms',
      'all back after, s',
      'dials',
      'refused (503)',
      'hello p50 / p99, ms',
      'CPU, us a hello',
      'loop p99 / max, ms',
      'resumed',
      'given again',
      'completed',
      'timeout',
      'failed',
    ],
    ...storms.map((s) => [
      s.name,
      s.startMs,
      s.allBackMs === null ? 'never' : show(s.allBackMs / 1000),
      s.dials,
      s.refused,
      showLatency(s.hello),
      show(s.helloCpuMicros),
      `${show(s.loop.p99)} / ${show(s.loop.max)}`,
      s.resumed,
      s.again,
      `${s.completed} of ${s.held}`,
      s.timeouts,
      s.failed,
    ]),
  ])
  report.raw('storms', storms)
  for (const s of storms)
    if (!s.settled || s.again > 0 || s.timeouts > 0 || s.failed > 0 || s.completed !== s.held) {
      report.say(`WRONG after ${s.name}: work was lost or done again ${s.lastError}`)
      process.exitCode = 1
    }
}
await fleet.stop()
await service.stop()
report.finish()
