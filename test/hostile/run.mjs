/**
 * A hostile hour: `npm run test:hostile -- [--minutes 60] [--seed N] [--only a,b] [--without a,b] [--each] [--hard] [--thread]`.
 * One address does its worst on a service that runs as a user runs it, beside honest nodes and submitters at other addresses.
 * Prints what was measured each minute, and a verdict; exit code 1 when a criterion does not hold.
 *
 * --minutes of attack. --only, --without: attacks by name (--list shows them). --each: every attack alone, on a new service.
 * --hard: only what holds on a slow machine too. --thread: the core in a thread of its own. --rate: honest tasks a second.
 */
import { parseArgs } from 'node:util'
import { attacks } from './attacks/index.mjs'
import { runAttacks } from './scene.mjs'
import { startTable } from './table.mjs'
import { judge } from './verdict.mjs'

/** With more than this share of one processor other programs spoil the figures. */
const MUCH = 0.3

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    rate: { type: 'string', default: '200' },
    only: { type: 'string' },
    without: { type: 'string', default: '' },
    each: { type: 'boolean', default: false },
    hard: { type: 'boolean', default: false },
    thread: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
})
const number = (name, most) => {
  const n = Number(values[name])
  if (!(n > 0 && n <= most)) throw new Error(`--${name}: must be a number above 0, at most ${most}`)
  return n
}
const listed = (text) => text.split(',').filter((name) => name !== '')
for (const name of [...listed(values.only ?? ''), ...listed(values.without)])
  if (!(name in attacks)) throw new Error(`there is no attack ${name}; there are ${Object.keys(attacks).join(', ')}`)
const names = Object.keys(attacks).filter(
  (name) => (values.only === undefined || listed(values.only).includes(name)) && !listed(values.without).includes(name),
)
const options = {
  seconds: number('minutes', 24 * 60) * 60,
  seed: Number(values.seed),
  rate: number('rate', 10_000),
  thread: values.thread,
  speed: !values.hard,
}
const { speed } = options

if (values.list) for (const name of names) console.log(`${name}: ${attacks[name].what}`)
else if (values.each) await runEach()
else await runAll()

async function runAll() {
  console.log(`hostile: ${values.minutes} minutes, seed ${values.seed}, ${names.length} attacks`)
  const figures = await runAttacks({ ...options, names })
  console.log('\nwhat each attack did, and how it was answered')
  for (const [name, counts] of Object.entries(figures.attacks ?? {}))
    console.log(
      `  ${name}: ${Object.entries(counts)
        .map(([what, n]) => `${what} ${n}`)
        .join(', ')}`,
    )
  if (figures.alive) report(figures)
  const verdict = judge(figures, { speed })
  console.log('\nverdict')
  for (const { name, holds, found } of verdict) console.log(`  ${holds ? 'holds' : 'FAILS'}  ${name}: ${found}`)
  conclude(verdict)
  if (!figures.alive) console.log(figures.lastWords)
}

function report({ log, attack: { shares } }) {
  console.log(`\nthe log grew by ${log.kib} KiB, ${log.errors} lines of it errors ${log.first}`)
  const used = Object.entries(shares).map(([name, share]) => `${name} ${(share * 100).toFixed(0)}%`)
  console.log(`of one processor during the attack: ${used.join(', ')}`)
  if (shares.others > MUCH)
    console.log(
      'other programs took a good part of this machine: what depends on speed is to be measured again without them',
    )
}

async function runEach() {
  console.log(`hostile: each attack alone for ${values.minutes} minutes, seed ${values.seed}`)
  const print = startTable([
    'attack                ',
    'throughput',
    '/health p99, ms: before, during',
    'MiB above idle: most, after',
    'closed',
    'join: slowest ms, refused',
    'refused',
    'CPU %: service, others',
    'fails',
  ])
  const all = []
  for (const name of names) {
    const figures = await runAttacks({ ...options, names: [name], quiet: true })
    const verdict = judge(figures, { speed })
    all.push(...verdict)
    const fails = verdict.filter((c) => !c.holds).length
    print([name, ...(figures.alive ? cellsOf(figures) : ['the service has ended', ...Array(6).fill('')]), fails])
  }
  conclude(all)
}

function cellsOf({ attack, calm, closed, idle, peak, after }) {
  const whole = (n) => n.toFixed(0)
  const refused = Object.values(attack.refused).reduce((a, b) => a + b, 0)
  return [
    (attack.perSecond / calm.perSecond).toFixed(2),
    `${whole(calm.health.p99)}, ${whole(attack.health.p99)}`,
    `${whole(peak - idle)}, ${whole(after.resident - idle)}`,
    closed.length,
    `${whole(Math.max(0, ...attack.joins))}, ${attack.refusedJoins.length}`,
    refused,
    `${whole(attack.shares.service * 100)}, ${whole(attack.shares.others * 100)}`,
  ]
}

function conclude(verdict) {
  const failed = verdict.filter((c) => !c.holds).length
  console.log(`violations  ${failed}`)
  if (failed > 0) {
    console.log(`replay it with --seed ${values.seed}`)
    process.exitCode = 1
  }
}
