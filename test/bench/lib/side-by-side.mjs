// Builds that live at the same time and take short turns: what the machine does meanwhile hits all of them, so that a minute or two tells
// them apart by a few hundredths, where whole runs in turns differ by a tenth.
import { setTimeout as sleep } from 'node:timers/promises'
import * as ours from '../ours.mjs'
import { startChild } from './children.mjs'
import { percentile } from './measure.mjs'
import { startService } from './service.mjs'

const NODES = 10
const SLOTS = 10
/** As our own node does with short tasks. */
const PREFETCH = 8
/** Tasks before anything counts: until then code is compiled, and caches are cold. */
const WARM_UP = 20_000
const IDLE_WARM_UP = 30
/** A pass that is not done by then has lost a task, ms. */
const LIMIT = 60_000
const here = (file) => new URL(`../${file}`, import.meta.url)

/**
 * Puts load on services of several builds, in turns: each way of submitting, and then single tasks on idle services.
 * @param builds the cli.js of each @param passes turns of each build @param tasks in each turn @param idle tasks one at a time in each
 * @returns what was measured: [{ what, found }], of each build a figure for each pass, in the order of the builds
 */
export async function sideBySide(builds, { passes, tasks, idle, slowDisk = 0 }) {
  const services = []
  try {
    for (const cli of builds) services.push(await startService({ cli, slowDisk, monitor: true }))
    for (const service of services) await service.loopDelay(false)
    const rows = []
    for (const [way, { title }] of Object.entries(ours.ways)) {
      const found = await inTurns(services, way, { passes, warm: WARM_UP }, (load) => load.throughput(tasks))
      rows.push(...rowsOf(title, found))
    }
    const found = await inTurns(services, ours.idleWays[0], { name: 'idle', passes, warm: 0, count: 1 }, (load) =>
      load.single(idle),
    )
    rows.push(...rowsOf('idle', found))
    return rows
  } finally {
    await Promise.all(services.map((service) => service.stop()))
  }
}

/**
 * Of each service its figures, one object for each pass.
 * @param o.name of nodes and tasks, other than all before
 */
async function inTurns(services, way, { name = way, passes, warm, count = NODES }, measure) {
  const loads = []
  try {
    for (const [i, service] of services.entries())
      loads.push(await openLoad(service, way, { run: `${name}-${i}`, count }))
    for (const load of loads) await (warm > 0 ? load.throughput(warm) : load.single(IDLE_WARM_UP))
    const found = services.map(() => [])
    for (let pass = 0; pass < passes; pass++)
      // Another one is first each time.
      for (let k = 0; k < loads.length; k++) {
        const i = (pass + k) % loads.length
        found[i].push(await measure(loads[i]))
      }
    return found
  } finally {
    await Promise.all(loads.map((load) => load.close()))
  }
}

async function openLoad(service, way, { run, count }) {
  const submitter = startChild(here('load/submitter.mjs'))
  const nodes = startChild(here('load/nodes.mjs'))
  const to = { module: here('ours.mjs').href, address: service.url, way, run }
  await Promise.all([
    submitter.call('open', to),
    nodes.call('open', { ...to, count, slots: SLOTS, prefetch: PREFETCH }),
  ])
  const { bulk, inFlight } = ours.ways[way]
  let next = 0
  return {
    /** So many tasks as fast as they go. */
    async throughput(n) {
      const from = next
      next += n
      await nodes.call('expect', { from, n })
      await service.loopDelay()
      const before = service.cpu()
      const [{ started }, { finished }] = await Promise.all([
        submitter.call('many', { from, n, inFlight, bulk }, LIMIT),
        nodes.call('all', undefined, LIMIT),
      ])
      const cpu = service.cpu() - before
      const loop = await service.loopDelay(false)
      return {
        'tasks/s': n / ((finished - started) / 1000),
        'CPU, us a task': (cpu / n) * 1e6,
        'event loop delay p99, ms': loop.p99,
      }
    },
    /** So many tasks, each when the one before is settled and all is quiet. */
    async single(n) {
      const from = next
      next += n
      await nodes.call('expect', { from, n })
      const arrived = []
      for (let number = from; number < from + n; number++) {
        const [s, at] = await Promise.all([submitter.call('one', number), nodes.call('one', number, LIMIT)])
        arrived.push(at.arrived - s.sent)
        await sleep(3 + Math.random() * 6)
      }
      await nodes.call('all', undefined, LIMIT)
      return { 'submit to node p50, ms': percentile(arrived, 0.5), 'submit to node p90, ms': percentile(arrived, 0.9) }
    },
    async close() {
      await Promise.all([submitter.call('close'), nodes.call('close')])
      await Promise.all([submitter.stop(), nodes.stop()])
    },
  }
}

const rowsOf = (title, found) =>
  Object.keys(found[0][0]).map((figure) => ({
    what: `${title}, ${figure}`,
    found: found.map((passes) => passes.map((pass) => pass[figure])),
  }))
