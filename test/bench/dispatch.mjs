// npm run bench:dispatch -- [--quick] [--peers=thread,bullmq,graphile,beanstalkd] [--slow-disk=4]
// From submit to the node and back: idle latency, and throughput by how tasks are submitted, alone or beside peers.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readArgs } from './lib/args.mjs'
import { openLoad, pass, quiet, single } from './lib/load.mjs'
import { latency, median, ratios, show, showLatency, showSpread, spread } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'

const options = readArgs('bench:dispatch: submit -> push -> complete, each side in a process of its own', {
  n: [20_000, 4000, 'tasks of one throughput run'],
  samples: [999, 200, 'idle tasks, over all runs'],
  nodes: [10, 10, 'nodes, in the throughput runs'],
  slots: [10, 10, 'slots of each node'],
  prefetch: [8, 8, 'tasks that each of our nodes holds beyond its slots, as our own node does with short tasks'],
  peers: [
    '',
    '',
    'thread (ours, the core in a thread), cluster (ours, with a follower and three log servers on this machine), bullmq,graphile,beanstalkd: measured beside, in turns; npm install --prefix test/bench/peers first',
  ],
  ways: ['', '', 'session,rest,batch: only these of ours'],
  'slow-disk': [0, 0, 'ms that every fsync takes longer, for all of them'],
  limit: [120, 60, 'seconds one run may take'],
})
const slowDisk = options['slow-disk']
const runs = Math.max(1, Math.round(options.runs))
const WARM_UP = 2000
let runId = 0

function stopWith(message) {
  console.error(message)
  process.exit(2)
}
/** The same service, otherwise. */
const OURS = ['thread', 'cluster']
const moduleOf = (name) =>
  new URL(
    name === 'ours' ? './ours.mjs' : OURS.includes(name) ? `./ours-${name}.mjs` : `./peers/${name}.mjs`,
    import.meta.url,
  ).href
const names = ['ours', ...options.peers.split(',').filter((name) => name !== '')]
const unknown = names.find((name) => !['ours', ...OURS, 'bullmq', 'graphile', 'beanstalkd'].includes(name))
if (unknown !== undefined) stopWith(`--peers: there is no ${unknown}; thread, cluster, bullmq, graphile, beanstalkd`)
const installed = existsSync(fileURLToPath(new URL('./peers/node_modules', import.meta.url)))
if (!installed && names.some((name) => ['bullmq', 'graphile'].includes(name)))
  stopWith('--peers: their clients are not installed: npm install --prefix test/bench/peers')

/** Runs `measure` with a submitter and nodes of their own. */
async function withLoad(system, way, { count, slots }, measure) {
  const to = { module: moduleOf(system.name), address: system.server.address, way, run: `r${++runId}-${process.pid}` }
  const load = await openLoad(to, { count, slots, prefetch: options.prefetch })
  try {
    const figures = await measure(load)
    await load.close()
    return figures
  } finally {
    await load.stop()
  }
}

/** One task at a time; the next when the one before is settled and all is quiet. */
const idle = (system, way, samples) =>
  withLoad(system, way, { count: 1, slots: options.slots }, async (load) => {
    const figures = { arrive: [], ack: [], settle: [] }
    const warm = Math.min(50, samples)
    await load.nodes.call('expect', { from: 0, n: warm + samples })
    for (let i = 0; i < warm + samples; i++) {
      const { sent, acked, arrived, settled } = await single(load, i, options.limit * 1000)
      if (i >= warm) {
        figures.arrive.push(arrived - sent)
        figures.ack.push(acked - sent)
        figures.settle.push(settled - sent)
      }
      await quiet(slowDisk)
    }
    await load.nodes.call('all')
    system.submitted += warm + samples
    return figures
  })

/** As many as it takes, from the first submit to the last settled. */
const throughput = (system, way, n) =>
  withLoad(system, way, { count: options.nodes, slots: options.slots }, async (load) => {
    const { bulk, inFlight } = system.module.ways[way]
    const submit = async (from, size) => {
      const limit = options.limit * 1000
      const s = await pass(load, { from, n: size, inFlight, bulk, limit }).catch((error) => {
        throw new Error(`${system.name}, ${way}: ${error.message}`, { cause: error })
      })
      system.submitted += size
      return s
    }
    await submit(0, Math.min(WARM_UP, n))
    await system.server.loopDelay?.()
    const cpu = system.server.cpu()
    const s = await submit(WARM_UP, n)
    const used = system.server.cpu() - cpu
    const loop = await system.server.loopDelay?.(false)
    const seconds = (s.finished - s.started) / 1000
    return {
      rate: n / seconds,
      submitRate: n / ((s.ended - s.started) / 1000),
      ack: latency(s.acks),
      cpu: (used / n) * 1e6,
      cores: used / seconds,
      loop: loop?.p99,
      loopMax: loop?.max,
      busy: loop?.utilization,
    }
  })

const report = createReport('dispatch', options)
if (slowDisk > 0) report.say(`every fsync and fdatasync takes ${slowDisk} ms longer, for all of them`)
const systems = []
const stopAll = () => Promise.all(systems.map((system) => system.server.stop()))
try {
  for (const name of names) {
    const module = await import(moduleOf(name))
    systems.push({
      name,
      module,
      server: await module.start({ slowDisk, cli: options.cli }),
      submitted: 0,
      idle: [],
      ways: {},
      missing: new Set(),
    })
    report.say(`${module.title}: ${module.durability}`)
  }
  for (let round = 0; round < runs; round++) {
    // Another one is first every time, so that what drifts hits all alike.
    for (let k = 0; k < systems.length; k++) await measureAll(systems[(round + k) % systems.length], round)
  }
  for (const system of systems) await system.server.verify?.(system.submitted)
  print()
} finally {
  await stopAll()
}
report.finish()

async function measureAll(system, round) {
  const { module } = system
  const wanted = Object.keys(module.ways).filter(
    (way) => system.name !== 'ours' || options.ways === '' || options.ways.split(',').includes(way),
  )
  const whenThere = async (way, run) => {
    if (system.missing.has(way)) return undefined
    return run().catch((error) => {
      if (way !== 'session' || !/Unexpected server response: 404/.test(error.message)) throw error
      system.missing.add(way)
      report.say('this service has no submitter sessions: not measured')
    })
  }
  for (const way of options.samples > 0 ? module.idleWays.filter((w) => wanted.includes(w)) : []) {
    const figures = await whenThere(way, () => idle(system, way, Math.max(1, Math.round(options.samples / runs))))
    if (figures !== undefined) system.idle.push({ way, ...figures })
  }
  for (const way of wanted) {
    const figures = await whenThere(way, () => throughput(system, way, options.n))
    if (figures === undefined) continue
    ;(system.ways[way] ??= []).push(figures)
    report.say(`  round ${round + 1}: ${module.title}, ${module.ways[way].title}: ${show(figures.rate)} tasks/s`)
  }
}

function print() {
  const idleRows = [
    ['idle, one at a time, ms: p50 / p99', 'submit -> node', 'submit -> ack', 'submit -> settled', 'samples'],
  ]
  const rows = [
    [
      `${options.nodes} nodes x ${options.slots} slots`,
      'tasks/s',
      'ack p50 / p99, ms',
      'CPU us/task',
      'cores',
      'loop delay p99, ms',
      'loop busy',
    ],
  ]
  for (const system of systems) {
    const { title, ways, idleWays } = system.module
    for (const way of idleWays) {
      const of = (key) => system.idle.filter((x) => x.way === way).flatMap((x) => x[key])
      if (of('arrive').length === 0) continue
      const arrive = latency(of('arrive'))
      idleRows.push([
        `${title}, ${ways[way].title}`,
        showLatency(arrive),
        showLatency(latency(of('ack'))),
        showLatency(latency(of('settle'))),
        arrive.n,
      ])
      report.summary(`idle submit -> node p50 / p99, ${title}, ${ways[way].title}`, `${showLatency(arrive)} ms`, {
        p50: arrive.p50,
        p99: arrive.p99,
      })
    }
    for (const [way, list] of Object.entries(system.ways)) {
      const of = (key) => spread(list.map((x) => x[key]))
      const ack = { p50: median(list.map((x) => x.ack.p50)), p99: median(list.map((x) => x.ack.p99)) }
      const loop = list[0].loop === undefined ? ['', ''] : [showSpread(of('loop')), `${show(of('busy').median * 100)}%`]
      rows.push([
        `${title}, ${ways[way].title}`,
        showSpread(of('rate')),
        showLatency(ack),
        showSpread(of('cpu')),
        show(of('cores').median),
        ...loop,
      ])
      report.summary(
        `${title}, ${ways[way].title}`,
        `${showSpread(of('rate'))} tasks/s, ${show(of('cpu').median)} us CPU a task${loop[0] === '' ? '' : `, loop delay p99 ${show(of('loop').median)} ms`}`,
        { rate: of('rate'), cpu: of('cpu') },
      )
    }
    report.raw(system.name, { idle: system.idle, ways: system.ways })
  }
  if (idleRows.length > 1) report.table('Latency on an idle service', idleRows)
  report.table('Throughput, first submit to last settled', rows)
  if (systems.length > 1) printRatios()
}

/** Ours against each peer, run by run; our single submits against theirs, our batches against their bulk. */
function printRatios() {
  const [ours, ...peers] = systems
  const rows = [['ours / theirs', ...peers.map((p) => p.module.title)]]
  const rates = (system, way, theirs = way) => (system.ways[way] ?? system.ways[theirs])?.map((x) => x.rate)
  for (const [way, theirs] of [
    ['session', 'single'],
    ['rest', 'single'],
    ['batch', 'bulk'],
  ]) {
    const mine = rates(ours, way)
    if (mine !== undefined)
      rows.push([
        ours.module.ways[way].title,
        ...peers.map((p) =>
          rates(p, way, theirs) === undefined ? '-' : showSpread(ratios(mine, rates(p, way, theirs)), ' x'),
        ),
      ])
  }
  const arrive = (system, way, p) => latency(system.idle.filter((x) => x.way === way).flatMap((x) => x.arrive))[p]
  const wayOf = (peer, way) => (peer.idle.some((x) => x.way === way) ? way : 'single')
  for (const way of ours.module.idleWays) {
    for (const p of ['p50', 'p99'])
      if (ours.idle.some((x) => x.way === way))
        rows.push([
          `idle submit -> node ${p}, ${ours.module.ways[way].title}`,
          ...peers.map((peer) => show(arrive(ours, way, p) / arrive(peer, wayOf(peer, way), p), ' x')),
        ])
  }
  report.table('Ratios within this run (tasks/s: more is better; latency: less is better)', rows)
  for (const row of rows.slice(1))
    report.summary(
      `ratio, ${row[0]}`,
      row
        .slice(1)
        .map((cell, i) => `${cell} ${rows[0][i + 1]}`)
        .join(', '),
      null,
    )
}
