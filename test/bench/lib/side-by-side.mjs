// Builds that live at the same time and take short turns: what the machine does meanwhile hits all of them alike.
import * as ours from '../ours.mjs'
import { openLoad, pass, quiet, single } from './load.mjs'
import { meanOf, percentile } from './measure.mjs'
import { startService } from './service.mjs'

const NODES = 10
const SLOTS = 10
/** As our own node does with short tasks. */
const PREFETCH = 8
/** Tasks before anything counts: until then code is compiled, and caches are cold. */
const WARM_UP = 8000
const IDLE_WARM_UP = 30
/** Of each service in each start: as many as there are builds, so that each of two is first once. */
const TURNS = 2
/** A pass that is not done by then has lost a task, ms. */
const LIMIT = 60_000

/**
 * Puts load on services of several builds, in turns: each way of submitting, and then single tasks on idle services; with new processes
 * for each start, for one differs from the next of the same build.
 * @param builds the cli.js of each @param tasks in each turn @param idle tasks one at a time in each
 * @returns what was measured: [{ what, found }], of each build a figure for each start, in the order of the builds
 */
export async function sideBySide(builds, { starts, tasks, idle, slowDisk = 0 }) {
  const rows = new Map()
  for (let start = 0; start < starts; start++)
    for (const { what, found } of await once(builds, { tasks, idle, slowDisk })) {
      const row = rows.get(what) ?? { what, found: builds.map(() => []) }
      rows.set(what, row)
      for (const [i, turns] of found.entries()) row.found[i].push(Math.exp(meanOf(turns.map(Math.log)).mean))
    }
  return [...rows.values()]
}

async function once(builds, { tasks, idle, slowDisk }) {
  const services = []
  try {
    for (const cli of builds) services.push(await startService({ cli, slowDisk, monitor: true }))
    for (const service of services) await service.loopDelay(false)
    const rows = []
    for (const [way, { title }] of Object.entries(ours.ways)) {
      const loaded = { count: NODES, warm: WARM_UP, tasks, measure: throughput }
      rows.push(...rowsOf(title, await inTurns(services, way, loaded)))
    }
    const alone = { count: 1, warm: IDLE_WARM_UP, tasks: idle, measure: oneByOne(slowDisk) }
    rows.push(...rowsOf('idle', await inTurns(services, ours.idleWays[0], { name: 'idle', ...alone })))
    return rows
  } finally {
    await Promise.all(services.map((service) => service.stop()))
  }
}

/**
 * Of each service its figures, one object for each of its turns.
 * @param o.name of nodes and tasks, other than all before
 */
async function inTurns(services, way, { name = way, count, warm, tasks, measure }) {
  const loads = []
  try {
    for (const [i, service] of services.entries()) {
      const to = {
        module: new URL('../ours.mjs', import.meta.url).href,
        address: service.url,
        way,
        run: `${name}-${i}`,
      }
      const load = await openLoad(to, { count, slots: SLOTS, prefetch: PREFETCH })
      let next = 0
      loads.push({
        stop: load.stop,
        close: load.close,
        measure(n) {
          const from = next
          next += n
          return measure({ ...load, service }, { from, n, ...ours.ways[way] })
        },
      })
    }
    for (const load of loads) await load.measure(warm)
    const found = services.map(() => [])
    for (let turn = 0; turn < TURNS; turn++)
      // Another one is first each time.
      for (let k = 0; k < loads.length; k++) {
        const i = (turn + k) % loads.length
        found[i].push(await loads[i].measure(tasks))
      }
    for (const load of loads) await load.close()
    return found
  } finally {
    await Promise.all(loads.map((load) => load.stop()))
  }
}

/** So many tasks as fast as they go. */
async function throughput({ service, ...load }, { from, n, inFlight, bulk }) {
  await service.loopDelay()
  const before = service.cpu()
  const { started, finished } = await pass(load, { from, n, inFlight, bulk, limit: LIMIT })
  const cpu = service.cpu() - before
  const loop = await service.loopDelay(false)
  return {
    'tasks/s': n / ((finished - started) / 1000),
    'CPU, us a task': (cpu / n) * 1e6,
    'event loop delay p99, ms': loop.p99,
  }
}

/** So many tasks, each when the one before is settled and all is quiet. */
const oneByOne =
  (slowDisk) =>
  async (load, { from, n }) => {
    await load.nodes.call('expect', { from, n })
    const times = []
    for (let number = from; number < from + n; number++) {
      const { sent, arrived } = await single(load, number, LIMIT)
      times.push(arrived - sent)
      await quiet(slowDisk)
    }
    await load.nodes.call('all', undefined, LIMIT)
    return { 'submit to node p50, ms': percentile(times, 0.5), 'submit to node p90, ms': percentile(times, 0.9) }
  }

const rowsOf = (title, found) =>
  Object.keys(found[0][0]).map((figure) => ({
    what: `${title}, ${figure}`,
    found: found.map((turns) => turns.map((turn) => turn[figure])),
  }))
