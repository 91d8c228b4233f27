// npm run bench:access -- [--quick]
// What a token costs: two services in one run, one open as on loopback, one that asks for tokens, take turns with the same
// submissions over REST, single and in batches of 100. Measured are submissions a second and CPU of the service for each.
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readArgs } from './lib/args.mjs'
import { startChild } from './lib/children.mjs'
import { ratios, show, showSpread, spread } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'

const options = readArgs('bench:access: submissions with a token beside those without', {
  n: [6000, 2000, 'single submissions of one round, and five times as many in batches'],
  rounds: [10, 3, 'rounds of each service'],
})
const USER = 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM'
const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
const report = createReport('access', options)
const config = { max_pending_tasks: 10_000_000, max_pending_per_user: 10_000_000 }
const open = await startService({ config })
const asking = await startService({ config })
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
const made = JSON.parse(execFileSync(process.execPath, [cli, ...create, '--database', asking.database]).toString())
const sides = { open: { service: open }, token: { service: asking, token: made.token } }
// A service that runs knows of a token within a second, and asks for one from then on.
const asks = async () => (await fetch(`${asking.url}/api/v1/tasks`)).status === 401
for (const until = Date.now() + 10_000; !(await asks()) && Date.now() < until;) await sleep(50)
const cells = { single: { n: options.n, size: 1 }, batch: { n: options.n * 5, size: 100 } }
const found = {}
try {
  for (let round = -1; round < options.rounds; round++)
    for (const [cell, { n, size }] of Object.entries(cells))
      for (const side of round % 2 === 0 ? ['open', 'token'] : ['token', 'open']) {
        const { service, token } = sides[side]
        const before = service.cpu()
        const call = {
          url: service.url,
          run: `${cell}${round}`,
          n,
          size,
          token,
          user: USER,
          connections: size === 1 ? 50 : 4,
        }
        const { rate } = await load.call('submits', call, 120_000)
        // The first round warms up.
        if (round < 0) continue
        const figures = ((found[cell] ??= {})[side] ??= { rate: [], cpu: [] })
        figures.rate.push(rate)
        figures.cpu.push(((service.cpu() - before) / n) * 1e6)
      }
  const rows = Object.entries(found).map(([cell, { open, token }]) => {
    const rate = ratios(token.rate, open.rate)
    const cpu = (side) => show(spread(side.cpu).median)
    report.summary(`${cell}: with a token / without`, showSpread(rate, ' x'), rate)
    return [
      cell === 'single' ? 'single submissions' : 'batches of 100',
      showSpread(spread(open.rate)),
      showSpread(spread(token.rate)),
      showSpread(rate, ' x'),
      `${cpu(open)}, ${cpu(token)}`,
    ]
  })
  report.table('Submissions over REST, tasks/s', [
    ['', 'without a token', 'with a token', 'with / without', 'CPU a task, us: without, with'],
    ...rows,
  ])
  report.raw('access', found)
} finally {
  await load.stop()
  await Promise.all([open.stop(), asking.stop()])
}
report.finish()
