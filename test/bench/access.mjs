// npm run bench:access -- [--quick]
// What a token costs: two services, one open as on loopback, one that asks for tokens, take turns with the same submissions over
// REST, single and in batches of 100. Each round has two new processes, and many short turns: a shared machine drifts by more within
// seconds than a token costs. Measured are submissions a second and CPU for each.
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readArgs } from './lib/args.mjs'
import { startChild } from './lib/children.mjs'
import { meanOf, ratios, show, showSpread, spread } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'

const options = readArgs('bench:access: submissions with a token beside those without', {
  n: [6000, 2000, 'single submissions of one round, and five times as many in batches'],
  rounds: [10, 3, 'rounds of each service'],
  cells: ['single,batch', 'single,batch', 'what is measured'],
  turns: [10, 4, 'turns of each service in a round'],
})
const USER = 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM'
const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
const report = createReport('access', options)
const config = { max_pending_tasks: 10_000_000, max_pending_per_user: 10_000_000 }
const load = startChild(new URL('./load/rest.mjs', import.meta.url))
// Every limit is counted, and none is reached.
const limits = ['max-pending', 'tasks-per-day', 'fee-per-day', 'bytes-per-day'].map((name) => `--${name}=1000000000000`)
const create = [
  'tokens',
  'create',
  '--role=user',
  '--name=bench',
  `--owner=${USER}`,
  '--json',
  '--rate=1000000',
  ...limits,
]
/** A service that asks for a token, and its token. */
async function startAsking() {
  const service = await startService({ config })
  const made = execFileSync(process.execPath, [cli, ...create, '--database', service.database]).toString()
  // A service that runs knows of a token within a second, and asks for one from then on.
  const asks = async () => (await fetch(`${service.url}/api/v1/tasks`)).status === 401
  for (const until = Date.now() + 10_000; !(await asks()) && Date.now() < until;) await sleep(50)
  return { service, token: JSON.parse(made).token }
}
const cells = Object.entries({
  single: { n: options.n, size: 1 },
  batch: { n: options.n * 5, size: 100 },
}).filter(([cell]) => options.cells.split(',').includes(cell))
const found = {}
try {
  for (let round = 0; round < options.rounds; round++) {
    // Two processes of one build differ by some percent for as long as they live, so each round has new ones.
    const sides = { open: { service: await startService({ config }) }, token: await startAsking() }
    for (const [cell, { n, size }] of cells) {
      const run = async (side, name, n) => {
        const { service, token } = sides[side]
        const before = service.cpu()
        const connections = size === 1 ? 50 : 4
        const call = { url: service.url, run: name, n, size, token, user: USER, connections }
        const { rate } = await load.call('submits', call, 120_000)
        return { seconds: n / rate, cpu: service.cpu() - before }
      }
      // Of a random length: the log is written back every so many pages, and with a fixed one that would always fall on one side.
      const warm = Math.round((n / size) * (0.5 + Math.random())) * size
      for (const side of Object.keys(sides)) await run(side, `${cell}-warm`, warm)
      const each = Math.ceil(n / size / options.turns) * size
      const sums = { open: { seconds: 0, cpu: 0 }, token: { seconds: 0, cpu: 0 } }
      for (let turn = 0; turn < options.turns; turn++)
        for (const side of (round + turn) % 2 === 0 ? ['open', 'token'] : ['token', 'open']) {
          const { seconds, cpu } = await run(side, `${cell}-${turn}`, each)
          sums[side].seconds += seconds
          sums[side].cpu += cpu
        }
      for (const [side, { seconds, cpu }] of Object.entries(sums)) {
        const figures = ((found[cell] ??= {})[side] ??= { rate: [], cpu: [] })
        figures.rate.push((each * options.turns) / seconds)
        figures.cpu.push((cpu / (each * options.turns)) * 1e6)
      }
    }
    await Promise.all(Object.values(sides).map(({ service }) => service.stop()))
  }
  const rows = Object.entries(found).map(([cell, { open, token }]) => {
    const rate = ratios(token.rate, open.rate)
    const cpu = (side) => show(spread(side.cpu).median)
    const cost = ratios(token.cpu, open.cpu)
    report.summary(`${cell}: CPU with a token / without`, showSpread(cost, ' x'), cost)
    report.summary(`${cell}: with a token / without`, `${showSpread(rate, ' x')}, mean ${showMean(rate.samples)}`, rate)
    return [
      cell === 'single' ? 'single submissions' : 'batches of 100',
      showSpread(spread(open.rate)),
      showSpread(spread(token.rate)),
      `${showSpread(rate, ' x')}, mean ${showMean(rate.samples)}`,
      `${cpu(open)}, ${cpu(token)}: ${showSpread(cost, ' x')}`,
    ]
  })
  report.table('Submissions over REST, tasks/s', [
    ['', 'without a token', 'with a token', 'with / without', 'CPU a task, us: without, with'],
    ...rows,
  ])
  report.raw('access', found)
} finally {
  await load.stop()
}
report.finish()

/** With its standard error. */
function showMean(samples) {
  const { mean, error } = meanOf(samples)
  return `${mean.toFixed(3)} ± ${error.toFixed(3)}`
}
