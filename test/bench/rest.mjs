// npm run bench:rest -- [--quick]
// The REST side: submissions, polling nodes, and what dashboards ask while the service is busy.
import { readArgs } from './lib/args.mjs'
import { startChild } from './lib/children.mjs'
import { median, ratios, show, showLatency, showSpread, spread } from './lib/measure.mjs'
import { cpuSeconds } from './lib/proc.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'
import { createRest } from './lib/submitter.mjs'

const options = readArgs('bench:rest: submissions, polls, /stats and the list over REST, HTTP/1.1 kept alive', {
  n: [10_000, 2000, 'submissions, and polled tasks, of one run'],
  seconds: [5, 2, 'length of the runs that go by time'],
  connections: [64, 64, 'connections of the polls with nothing to do'],
  nodes: [20, 20, 'polling nodes in the poll loop'],
  'slow-disk': [0, 0, 'ms that every fsync takes longer'],
})
const runs = Math.max(1, Math.round(options.runs))
const ms = options.seconds * 1000
const limit = 120_000
const report = createReport('rest', options)
const here = (file) => new URL(file, import.meta.url)

const service = await startService({ cli: options.cli, slowDisk: options['slow-disk'] })
const bare = startChild(here('./load/bare-server.mjs'))
const load = startChild(here('./load/rest.mjs'))
const control = createRest(service.url, { connections: 4 })
const { url } = service
const found = { submits: [], polls: [], bare: [], loops: [], quiet: [], busy: [] }
const perRequest = (before, pid, count) => ((cpuSeconds(pid) - before) / count) * 1e6
let total = 0

try {
  const bareUrl = await bare.call('listen')
  await control.post('/api/v1/nodes/register', {
    node_id: 'idle-poller',
    endpoint: 'http://192.0.2.1',
    public_key: 'placeholder',
    supported_models: ['nothing-asks-for-this'],
  })
  const gets = (to, pid, time) => async () => {
    const before = cpuSeconds(pid)
    const figures = await load.call(
      'gets',
      { url: to, path: '/api/v1/nodes/idle-poller/tasks', status: 204, connections: options.connections, ms: time },
      limit,
    )
    return { ...figures, cpu: perRequest(before, pid, figures.count) }
  }
  await gets(url, service.pid, 500)()
  await gets(bareUrl, bare.pid, 500)()
  for (let run = 0; run < runs; run++) {
    const pair = [
      async () => found.polls.push(await gets(url, service.pid, ms)()),
      async () => found.bare.push(await gets(bareUrl, bare.pid, ms)()),
    ]
    for (const measure of run % 2 === 0 ? pair : pair.reverse()) await measure()

    const before = service.cpu()
    const submits = await load.call('submits', { url, run: `s${run}`, n: options.n, connections: 100 }, limit)
    found.submits.push({ ...submits, cpu: perRequest(before, service.pid, options.n) })
    total += options.n
    const loopBefore = service.cpu()
    found.loops.push({
      ...(await load.call('polling', { url, run: `p${run}`, nodes: options.nodes, n: options.n }, limit)),
      cpu: perRequest(loopBefore, service.pid, options.n),
    })
    await verify()
    await underLoad(run)
  }
  print()
} finally {
  control.close()
  await Promise.all([load.stop(), bare.stop()])
  await service.stop()
}
report.finish()

async function verify() {
  const stats = await control.get('/api/v1/stats')
  if (stats.completed_tasks !== total || stats.total_tasks !== total)
    throw new Error(
      `${total} tasks were completed, and the service counts ${stats.completed_tasks} of ${stats.total_tasks}`,
    )
}

/** /stats and pages of the list: while nothing happens, and while tasks come and go as fast as they can. */
async function underLoad(run) {
  const paths = ['/api/v1/stats', '/api/v1/tasks?limit=50', '/api/v1/tasks?status=completed&limit=50', '/health']
  const nodes = startChild(here('./load/nodes.mjs'))
  const prober = startChild(here('./load/rest.mjs'))
  try {
    found.quiet.push(await prober.call('probe', { url, paths, ms: ms / 2, pause: 2 }, limit))
    await nodes.call('open', { module: here('./ours.mjs').href, address: url, run: `b${run}`, count: 10, slots: 10 })
    await nodes.call('expect', { from: 0, n: 1_000_000 })
    const submitting = load.call('keepSubmitting', { url, run: `b${run}`, connections: 20 }, limit)
    const probed = prober.call('probe', { url, paths, ms, pause: 2 }, limit)
    const figures = await Promise.race([probed, submitting.then(() => probed)])
    await load.call('stop')
    const { n, rate } = await submitting
    total += n
    for (let tries = 0; (await nodes.call('missing')) > 1_000_000 - n; tries++) {
      if (tries > 600) throw new Error('tasks are missing under load')
      await new Promise((done) => setTimeout(done, 50))
    }
    await nodes.call('close')
    await verify()
    found.busy.push({ rate, ...figures })
  } finally {
    await Promise.all([nodes.stop(), prober.stop()])
  }
}

function print() {
  const of = (list, key) => spread(list.map((x) => x[key]))
  const p = (list, key) =>
    showLatency({
      p50: median(list.map((x) => (key ? x[key] : x).p50)),
      p99: median(list.map((x) => (key ? x[key] : x).p99)),
    })
  report.table('Rates', [
    ['', 'a second', 'p50 / p99, ms', 'CPU us each'],
    [
      'submit, 100 in flight',
      showSpread(of(found.submits, 'rate')),
      p(found.submits, 'ack'),
      show(of(found.submits, 'cpu').median),
    ],
    [
      `poll -> complete, ${options.nodes} polling nodes`,
      showSpread(of(found.loops, 'rate')),
      `${p(found.loops, 'poll')} poll, ${p(found.loops, 'complete')} complete`,
      show(of(found.loops, 'cpu').median),
    ],
    [
      'poll with nothing to do (204)',
      showSpread(of(found.polls, 'rate')),
      p(found.polls),
      show(of(found.polls, 'cpu').median),
    ],
    ['bare hono GET (204)', showSpread(of(found.bare, 'rate')), p(found.bare), show(of(found.bare, 'cpu').median)],
  ])
  const share = ratios(
    found.polls.map((x) => x.rate),
    found.bare.map((x) => x.rate),
  )
  const cost = ratios(
    found.polls.map((x) => x.cpu),
    found.bare.map((x) => x.cpu),
  )
  report.say(
    `\npoll with nothing to do / bare hono GET: ${showSpread(share, ' x')} the rate, ${showSpread(cost, ' x')} the CPU`,
  )
  const paths = Object.keys(found.quiet[0])
  const rate = of(found.busy, 'rate')
  report.table('Questions, p50 / p99, ms', [
    ['', 'nothing else happens', `under load (${show(rate.median)} tasks/s)`],
    ...paths.map((path) => [`GET ${path}`, p(found.quiet, path), p(found.busy, path)]),
  ])
  report.raw('rest', found)
  report.summary(
    'REST submit',
    `${showSpread(of(found.submits, 'rate'))}/s, ${show(of(found.submits, 'cpu').median)} us CPU`,
    of(found.submits, 'rate'),
  )
  report.summary('poll -> complete', `${showSpread(of(found.loops, 'rate'))} tasks/s`, of(found.loops, 'rate'))
  report.summary('poll with nothing to do / bare hono GET', showSpread(share, ' x'), share)
  report.summary('/stats under load p50 / p99', `${p(found.busy, '/api/v1/stats')} ms`, null)
  report.summary('a page of the list under load p50 / p99', `${p(found.busy, '/api/v1/tasks?limit=50')} ms`, null)
}
