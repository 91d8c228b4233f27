/**
 * The proof of the cluster: `npm run test:cluster -- --rounds=3 --seconds=60 [--seed=N] [--plan=mixed|safety|liveness|takeover]
 * [--fault="the owner is killed"] [--coordinators=3] [--nodes=16] [--takeover-after=3] [--dir=FOLDER]`. Log servers, coordinators, nodes and submitters on loopback,
 * every link through a proxy; processes are killed, paused and cut off, folders deleted. After each round everything is healed, and
 * what was promised must be there, once. Exit code 1, with the seed, if not.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findLogServer } from '../../dist/demo/cluster/log-servers.js'
import { createChoice } from '../crash/random.mjs'
import { checkAll, reasonsOfRepeats } from './check.mjs'
import { ownersOf } from './coordinators.mjs'
import { checkTheChecks } from './damage.mjs'
import { createLedger } from './ledger.mjs'
import { plans } from './plans.mjs'
import { createWorld } from './world.mjs'

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    plan: { type: 'string', default: 'mixed' },
    /** Only this one, one after the other. */
    fault: { type: 'string', default: '' },
    coordinators: { type: 'string', default: '3' },
    nodes: { type: 'string', default: '16' },
    'takeover-after': { type: 'string', default: '3' },
    dir: { type: 'string', default: '' },
  },
})
const logServer = whichLogServer()
const takeoverAfter = Number(flags['takeover-after'])
const dir = flags.dir === '' ? mkdtempSync(join(tmpdir(), 'inference-cluster-')) : flags.dir
const choice = createChoice(flags.seed)
const ledger = createLedger()
const began = Date.now()
const took = () => `${((Date.now() - began) / 1000).toFixed(0).padStart(5)} s`
const say = (text) => console.log(`${took()}  ${text}`)
const replay = Object.entries(flags)
  .filter(([name, value]) => name !== 'dir' && value !== '')
  .map(([name, value]) => `--${name}=${value.includes(' ') ? `"${value}"` : value}`)
  .join(' ')
console.log(`cluster proof: ${replay}`)

const counts = {}
/** How long nobody was served after a fault of one domain, ms, by fault. */
const outages = {}
let world
try {
  world = await createWorld({
    dir,
    logServer,
    coordinators: Number(flags.coordinators),
    nodes: Number(flags.nodes),
    takeoverAfter,
    ledger,
    choice,
  })
  say('the cluster is whole')
  for (let round = 1; round <= Number(flags.rounds) && ledger.violations.length === 0; round++) {
    const plan =
      flags.fault !== '' ? 'liveness' : flags.plan === 'mixed' ? (round % 2 === 1 ? 'liveness' : 'safety') : flags.plan
    const enough = new AbortController()
    const submitting = world.submit(round, enough.signal)
    await plans[plan]({
      world,
      ledger,
      choice,
      round,
      fault: flags.fault,
      takeoverAfter,
      seconds: Number(flags.seconds),
      say,
      counts,
      outages,
    })
    world.faults.healAll()
    enough.abort()
    await world.quiet(submitting)
    await checkAll({ members: world.members, ledger, round, choice })
    say(
      `round ${round} (${plan}): ${ledger.tasks.size} tasks acknowledged, ${ledger.ends.size} ends seen, ${ledger.violations.length} violations`,
    )
  }
} catch (error) {
  ledger.violate(error.stack)
}
const repeats = ledger.violations.length === 0 ? await lastChecks(world) : {}
for (const member of ledger.violations.length === 0 ? [] : (world?.members ?? []))
  console.log(`--- ${member.name}\n${member.tail()}`)
await world?.close()

function whichLogServer() {
  try {
    return findLogServer().path
  } catch (error) {
    console.error(error.message)
    process.exit(1)
  }
}

/** @returns why tasks were computed again */
async function lastChecks({ members }) {
  const [owner] = await ownersOf(members)
  const reasons = owner === undefined ? {} : reasonsOfRepeats(owner.file, ledger)
  const without = reasons['without a reason'] ?? 0
  if (without > 0) ledger.violate(`${without} attempts were followed by another without a reason`)
  if (owner !== undefined)
    for (const wrong of checkTheChecks(owner.file, join(dir, 'damaged.db'), ledger)) ledger.violate(wrong)
  return reasons
}

const print = (title, figures) => {
  const width = Math.max(0, ...Object.keys(figures).map((name) => name.length))
  console.log(title)
  for (const [name, value] of Object.entries(figures)) console.log(`  ${name.padEnd(width)}  ${value}`)
}
print('faults', counts)
const sorted = Object.entries(outages).map(([name, all]) => [name, all.sort((a, b) => a - b)])
print(
  'nobody was served for, s (median, longest)',
  Object.fromEntries(
    sorted.map(([name, all]) => [
      name,
      `${(all[all.length >> 1] / 1000).toFixed(1)}, ${(all.at(-1) / 1000).toFixed(1)}`,
    ]),
  ),
)
const ended = [...ledger.ends.values()]
print('work', {
  'tasks acknowledged': ledger.tasks.size,
  'tasks completed': ended.filter(({ status }) => status === 'completed').length,
  'tasks failed for good': ended.filter(({ status }) => status !== 'completed').length,
  'tasks computed more than once': [...ledger.runs.values()].filter((runs) => runs.length > 1).length,
  ...ledger.figures,
  seconds: Math.round((Date.now() - began) / 1000),
})
print('why an attempt was followed by another', repeats)
console.log(`violations  ${ledger.violations.length}`)
for (const text of ledger.violations.slice(0, 20)) console.log(`  ${text.slice(0, 1500)}`)
if (ledger.violations.length > 0) {
  console.log(`FAILED; everything is in ${dir}; the same again: npm run test:cluster -- ${replay}`)
  process.exitCode = 1
} else rmSync(dir, { recursive: true, force: true })
