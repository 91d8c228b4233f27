// npm run bench:overload -- [--quick]
// What happens above capacity: submissions are offered at a rate of their own, whether or not the service keeps up.
import { readArgs } from './lib/args.mjs'
import { startChild } from './lib/children.mjs'
import { meanMovement } from './lib/compare.mjs'
import { latency, show, showLatency } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'
import { createRest } from './lib/submitter.mjs'

const options = readArgs(
  'bench:overload: offered load of a fraction to three times what the service, or its nodes, can do',
  {
    runs: [1, 1, 'passes over all rates'],
    seconds: [6, 2, 'seconds of offered load at each rate'],
    patience: [10, 3, 'seconds to wait for answers after that'],
    rates: ['0.5,0.8,1,1.5,2,3', '0.5,1,3', 'multiples of the capacity'],
    connections: [1000, 500, 'connections of the submitting side, all open before'],
    delay: [250, 250, 'ms a node takes for a task where the nodes are the bottleneck'],
    queue: [1000, 500, 'max_pending_tasks where the nodes are the bottleneck'],
  },
)
const NODES = 10
const SLOTS = 10
/** More tasks than a run has. */
const MOST = 500_000
const report = createReport('overload', options)
const multiples = options.rates.split(',').map(Number)
const here = (file) => new URL(file, import.meta.url)
const faults = []
const variants = [
  { name: 'the service is the bottleneck', config: {}, delay: 0, capacity: await measuredCapacity() },
  {
    name: `the nodes are the bottleneck (${options.delay} ms a task, max_pending_tasks ${options.queue})`,
    config: { max_pending_tasks: options.queue },
    delay: options.delay,
    capacity: (NODES * SLOTS * 1000) / options.delay,
  },
]
for (const variant of variants) {
  const rows = [
    [
      'offered',
      'a second',
      'served/s',
      'accepted/s',
      'refused/s',
      'accepted p50 / p99, ms',
      'refused p50 / p99, ms',
      'no answer',
      'CPU',
      'sessions closed',
    ],
  ]
  const passes = []
  for (let pass = 0; pass < Math.max(1, Math.round(options.runs)); pass++) {
    for (const multiple of multiples) {
      const f = await offer(variant, multiple)
      passes.push(f)
      rows.push([
        `${multiple} x`,
        show(f.due / options.seconds),
        show(f.served),
        show(f.accepted.n / options.seconds),
        show(f.refused.n / options.seconds),
        showLatency(f.accepted),
        showLatency(f.refused),
        f.unanswered,
        `${show(f.cores * 100)}%`,
        f.closed,
      ])
    }
  }
  report.table(`${variant.name}: capacity ${show(variant.capacity)} tasks/s`, rows)
  report.raw(variant.name, passes)
  const servedAt = (multiple) =>
    passes.filter((_, i) => multiples[i % multiples.length] === multiple).map((f) => f.served)
  if (passes.length > multiples.length && multiples.includes(1) && multiples.includes(2)) {
    const { ratio, error } = meanMovement(servedAt(1), servedAt(2))
    report.say(
      `served at 2 x over 1 x: ${ratio.toFixed(2)} ± ${error.toFixed(2)}, the mean of the passes and its error`,
    )
  }
  const last = passes.at(-1)
  report.summary(
    `overload ${multiples.at(-1)} x, ${variant.name.split(' (')[0]}`,
    `served ${show(last.served)}/s of ${show(variant.capacity)}/s, refused ${show(last.refused.n / options.seconds)}/s, accepted p50 / p99 ${showLatency(last.accepted)} ms, ${last.closed} sessions closed`,
    last.served,
  )
}
await refusals()
report.finish()
if (faults.length > 0) {
  console.error(faults.join('\n'))
  process.exitCode = 1
}

/** A service with ten nodes, and a submitting process. */
async function world({ config, delay }, measure) {
  const service = await startService({ cli: options.cli, config })
  const nodes = startChild(here('./load/nodes.mjs'))
  const load = startChild(here('./load/rest.mjs'))
  try {
    await nodes.call('open', {
      module: here('./ours.mjs').href,
      address: service.url,
      run: 'o',
      count: NODES,
      slots: SLOTS,
      delay,
    })
    return await measure(service, nodes, load)
  } finally {
    await Promise.all([nodes.stop(), load.stop()])
    await service.stop()
  }
}

/** Tasks a second from the first submission to the last one settled, with 100 submissions in flight while they come. */
function measuredCapacity() {
  return world({ config: {}, delay: 0 }, async (service, nodes, load) => {
    await nodes.call('expect', { from: 0, n: MOST })
    const flood = await load.call('flood', {
      url: service.url,
      run: 'o',
      connections: 100,
      ms: options.seconds * 1000,
      status: 200,
    })
    await settledAll(service)
    const { settled, last, wrong } = await nodes.call('served', { since: 0, until: 0 })
    if (wrong !== undefined || settled !== flood.count)
      throw new Error(wrong ?? `${flood.count} tasks were accepted, ${settled} were settled`)
    return settled / ((last - flood.started) / 1000)
  })
}

/** Offers `multiple` of the capacity; whatever was accepted must be there, once. */
function offer(variant, multiple) {
  return world(variant, async (service, nodes, load) => {
    const what = `${variant.name}, ${multiple} x`
    await nodes.call('expect', { from: 0, n: MOST })
    // A service that has just started is slower than it will be.
    await load.call('flood', {
      url: service.url,
      run: 'warm',
      connections: 20,
      ms: variant.delay > 0 ? 50 : 1000,
      status: 200,
    })
    await settledAll(service)
    const before = await stats(service)
    const warm = (await nodes.call('served', { since: 0, until: 0 })).settled
    await nodes.call('forget')
    await nodes.call('expect', { from: 0, n: MOST })
    const cpu = service.cpu()
    const offered = await load.call(
      'offer',
      {
        url: service.url,
        run: 'o',
        rate: variant.capacity * multiple,
        seconds: options.seconds,
        connections: options.connections,
        patience: options.patience * 1000,
      },
      (options.seconds + options.patience + 60) * 1000,
    )
    const cores = (service.cpu() - cpu) / ((offered.over - offered.started) / 1000)
    const served = await nodes.call('served', { since: offered.started, until: offered.ended })
    if (served.wrong !== undefined) faults.push(`${what}: ${served.wrong}`)
    const { total_tasks } = await stats(service)
    const of = (statuses) => offered.answers.filter((a) => statuses.includes(a.status))
    const [accepted, refused] = [of([200]), of([429, 503])]
    const strange = offered.answers.length - accepted.length - refused.length
    if (strange > 0) faults.push(`${what}: ${strange} answers that are neither 200 nor 429 nor 503`)
    const mute = refused.filter((a) => a.retryAfter === null).length
    if (mute > 0) faults.push(`${what}: ${mute} refusals without Retry-After`)
    // Those that were not answered may be stored or not.
    const stored = total_tasks - before.total_tasks
    if (stored < accepted.length || stored > accepted.length + offered.unanswered)
      faults.push(`${what}: ${accepted.length} tasks were accepted, ${stored} are stored`)
    if (served.settled > stored) faults.push(`${what}: ${served.settled} tasks were settled of ${stored}`)
    if (warm !== before.completed_tasks)
      faults.push(`${what}: ${warm} tasks were settled before, ${before.completed_tasks} are completed`)
    return {
      multiple,
      due: offered.due,
      unanswered: offered.unanswered,
      served: served.within / options.seconds,
      closed: served.closed,
      accepted: latency(accepted.map((a) => a.ms)),
      refused: latency(refused.map((a) => a.ms)),
      cores,
    }
  })
}

/** What it costs to say no: a queue that is full, and submissions as fast as they are refused. */
async function refusals() {
  const service = await startService({ cli: options.cli, config: { max_pending_tasks: 1 } })
  const load = startChild(here('./load/rest.mjs'))
  try {
    const rest = createRest(service.url, { connections: 1 })
    await rest.submit({
      user_address: 'ST1',
      user_input: 'fills the queue',
      infer_fee: 1,
      max_infer_time: 300,
      model_name: 'llama-3-8b',
    })
    rest.close()
    const flood = (ms) => load.call('flood', { url: service.url, run: 'no', connections: 64, ms, status: 503 })
    await flood(Math.min(2000, options.seconds * 500)) // until its code is compiled
    const before = service.cpu()
    const f = await flood(options.seconds * 1000)
    const cost = ((service.cpu() - before) / f.count) * 1e6
    report.say(
      `\nrefusing, with a full queue: ${show(f.rate)}/s, ${showLatency(f)} ms (p50 / p99), ${show(cost)} us of CPU each`,
    )
    report.raw('refusing', { ...f, cost })
    report.summary('refusing with a full queue', `${show(f.rate)}/s, ${show(cost)} us CPU each`, cost)
  } finally {
    await load.stop()
    await service.stop()
  }
}

async function stats(service) {
  const rest = createRest(service.url, { connections: 1 })
  try {
    return await rest.get('/api/v1/stats')
  } finally {
    rest.close()
  }
}

async function settledAll(service) {
  for (let tries = 0; ; tries++) {
    const { pending_tasks, processing_tasks } = await stats(service)
    if (pending_tasks + processing_tasks === 0) break
    if (tries > 600) throw new Error('tasks are left over after 30 s')
    await new Promise((done) => setTimeout(done, 50))
  }
  await new Promise((done) => setTimeout(done, 50)) // the last ones are on their way to the nodes
}
