/**
 * The proof of payments: `node test/crash/payments.mjs --kills 50 [--seed N] [--dir FOLDER] [--forks no] [--outages no]
 * [--thread yes]`. The serving process is killed beside a chain that forks and has outages, while payers submit signed tasks and nodes
 * complete them. In the end every completed task is paid exactly once, and nothing waits. Exit code 1, with the seed, if not.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chainDefaults } from '../../dist/config.js'
import { createFakeChain } from '../../dist/demo/chain/fake-chain.js'
import { Database } from '../../dist/store/sqlite.js'
import { print } from './check.mjs'
import { checkPayments } from './check-payments.mjs'
import { ask, sessionNode } from './clients.mjs'
import { createPayer, payer } from './payers.mjs'
import { createChoice, readFlags } from './random.mjs'
import { createRecord } from './record.mjs'
import { createServer, quickSettings } from './server.mjs'
import { createEventRelay, createWeather, DEEPEST } from './weather.mjs'

const POINTS = ['before commit', 'after commit', 'after reply']
/** The longest one serving process may live, and the end may take, ms. */
const PATIENCE = 120_000

const flags = readFlags(process.argv.slice(2), {
  kills: '50',
  seed: String(Math.floor(Math.random() * 2 ** 31)),
  dir: '',
  forks: 'yes',
  outages: 'yes',
  thread: 'no',
})
const kills = Number(flags.kills)
const dir = flags.dir === '' ? mkdtempSync(join(tmpdir(), 'inference-payments-')) : flags.dir
mkdirSync(dir, { recursive: true })
const file = join(dir, 'inference.db')
const choice = createChoice(flags.seed)
const record = createRecord()
const replay = `--kills ${kills} --seed ${flags.seed} --forks ${flags.forks} --outages ${flags.outages} --thread ${flags.thread}`
console.log(`proof of payments: ${replay}`)

/** Every fourth kill comes from outside, at any moment; the others at the n-th passage of a point. */
function planOf(i) {
  const kind = (i + Math.floor(choice('first kind') * 4)) % 4
  if (kind < 3) return { point: POINTS[kind], nth: 1 + Math.floor(choice('nth', i) ** 2 * 120) }
  return { point: null, after: choice('after', i) < 0.2 ? choice('early', i) * 100 : 200 + choice('late', i) * 1200 }
}

const payers = [0, 1, 2].map(createPayer)
const chain = await createFakeChain({
  balances: Object.fromEntries(payers.map(({ address }) => [address, 10n ** 12n])),
  repeatEvery: 50,
  salt: flags.seed,
})
const server = createServer(
  {
    database_path: file,
    ...quickSettings,
    max_attempts: 8,
    core_thread: flags.thread === 'yes',
  },
  {
    signer: { stacks_private_key: `${'44'.repeat(32)}01`, endpoint: chain.url, network: 'testnet' },
    chain: chainDefaults({
      event_observer: '127.0.0.1:0',
      confirmations: DEEPEST + 1,
      poll_interval: 0.1,
      request_timeout: 1,
    }),
  },
)
const events = await createEventRelay(server.observer)
chain.observe(events.url)
const weather = createWeather({ chain, choice, forks: flags.forks === 'yes', outages: flags.outages === 'yes' })

const [ending, satisfying] = [new AbortController(), new AbortController()]
const world = {
  server,
  record,
  choice,
  bulk: 0,
  ended: ending.signal,
  enough: satisfying.signal,
  unsettled: [],
  unanswered: 0,
}
const nonceOf = (address) => Number(chain.account(address).nonce)
const everybody = [
  ...payers.map((who) => payer(world, who, nonceOf)),
  ...['n1', 'n2', 'n3'].map((id, i) => sessionNode(world, id, 3 + i)),
]

/** Of all blocks that the database has had: it forgets old ones, and those are lost that were answered just before a kill. */
const known = new Set()
const learn = () => {
  if (!existsSync(file)) return // it was killed before it made it
  const db = new Database(file, { readonly: true })
  try {
    for (const hash of db.prepare('SELECT index_block_hash FROM chain_blocks').pluck().all()) known.add(hash)
  } catch (error) {
    if (!/no such table/.test(error.message)) throw error // it was killed before it made them
  } finally {
    db.close()
  }
}

const killed = { 'at a random moment': 0, ...Object.fromEntries(POINTS.map((p) => [p, 0])) }
const began = Date.now()
for (let i = 0; i < kills && record.violations.length === 0; i++) {
  const plan = planOf(i)
  const one = server.start(plan.point === null ? null : plan)
  if (plan.point === null) void sleep(plan.after).then(() => one.child.kill('SIGKILL'))
  const late = setTimeout(() => {
    record.violate(`kill ${i} (${JSON.stringify(plan)}) did not come within ${PATIENCE} ms`)
    one.child.kill('SIGKILL')
  }, PATIENCE)
  const { code, signal } = await one.exit
  clearTimeout(late)
  if (signal !== 'SIGKILL') record.violate(`the service ended by itself at kill ${i}: ${signal ?? code} ${one.errors}`)
  killed[plan.point ?? 'at a random moment']++
  learn()
}

// From here on all is well, and nothing new comes: everything must come to its end by itself.
const last = server.start(null)
weather.calm()
satisfying.abort()
const calmed = Date.now()
const open = (stats) => {
  const { ready, posted, mined, lost } = stats.settlements
  return stats.pending_tasks + stats.processing_tasks + stats.completed_tasks + ready + posted + mined + lost
}
for (const end = calmed + PATIENCE; ; await sleep(100)) {
  const stats = (await ask(world, 'GET', '/api/v1/stats'))?.body?.data
  learn()
  const db = new Database(file, { readonly: true })
  const waiting = db.prepare('SELECT count(*) FROM settlements WHERE final = 0').pluck().get()
  db.close()
  const isPaid = [...record.tasks.values()].every(({ submission: s }) => nonceOf(s.user_address) > s.nonce)
  // Where every kill came early, the first submissions are still on their way.
  if (stats != null && open(stats) + waiting === 0 && isPaid && world.unanswered === 0) break
  if (Date.now() > end) {
    record.violate(`after ${PATIENCE} ms of calm ${waiting} settlements are not final: ${JSON.stringify(stats)}`)
    break
  }
}
const calmSeconds = ((Date.now() - calmed) / 1000).toFixed(1)
for (const height = chain.tip().height + DEEPEST + 1; chain.tip().height < height;) await sleep(20)
ending.abort()
await Promise.all([weather.end(), ...everybody])
last.child.kill('SIGTERM')
const late = setTimeout(() => last.child.kill('SIGKILL'), PATIENCE)
const { code } = await last.exit
clearTimeout(late)
if (code !== 0) record.violate(`the last stop did not end with 0: ${code} ${last.errors}`)
await server.end()
await Promise.all([events.close(), chain.close()])

learn()
const facts = {
  posts: chain.posts(),
  find: weather.find,
  account: chain.account,
  canonical: weather.canonical,
}
const promised = { acknowledged: [...record.tasks.keys()], known }
const db = new Database(file)
const { wrong: different, states } = checkPayments(db, facts, promised)
const wrong = [...record.violations, ...different]
const count = (sql) => db.prepare(sql).pluck().get()
console.log('kills')
print(killed)
console.log('chain')
const told = weather.canonical.filter((hash, height) => height > 1) // nobody is told of the first
print({
  ...weather.figures,
  'canonical blocks': told.length,
  'of these lost at kills': told.filter((hash) => !known.has(hash)).length,
})
console.log('work')
print({
  'tasks acknowledged': record.tasks.size,
  'tasks failed, their payment used again': count(
    "SELECT count(*) FROM inference_tasks WHERE status IN ('failed', 'timeout')",
  ),
  'transactions posted': facts.posts.length,
  ...Object.fromEntries(Object.entries(states).map(([state, n]) => [`settlements ${state}`, n])),
  'seconds of calm': calmSeconds,
  seconds: Math.round((Date.now() - began) / 1000),
})
db.close()

// A check that never fails proves nothing: it must find what is done to a copy, and what a chain could tell.
const damaged = (what, damage, changed = {}) => {
  const copy = join(dir, 'damaged.db')
  copyFileSync(file, copy)
  const other = new Database(copy)
  other.exec(damage)
  const found = checkPayments(other, { ...facts, ...changed }, promised).wrong
  other.close()
  if (found.length <= different.length) wrong.push(`the check does not notice: ${what}`)
}
const [{ txid, outputHash }] = facts.posts
damaged('a lost task', 'DELETE FROM inference_tasks WHERE rowid = (SELECT min(rowid) FROM inference_tasks)')
damaged('another payee', "UPDATE settlements SET payee = 'ST' WHERE task_id = (SELECT min(task_id) FROM settlements)")
damaged('one that waits', 'UPDATE settlements SET final = 0 WHERE task_id = (SELECT min(task_id) FROM settlements)')
damaged('a wrong counter', 'UPDATE settlement_counts SET settlements = settlements + 1')
damaged('two payees', '', { posts: [...facts.posts, { txid, outputHash, payee: 'ST' }] })
damaged('two hashes', '', { posts: [...facts.posts, { ...facts.posts[0], outputHash: '' }] })
damaged('one paid twice', '', { find: (id) => [...weather.find(id), ...weather.find(id)] })
damaged('one not paid', '', { find: () => [] })

console.log(`violations  ${wrong.length}`)
for (const text of wrong.slice(0, 20)) console.log(`  ${text.slice(0, 500)}`)
if (wrong.length > 0) {
  console.log(`FAILED; the database is ${file}; replay with: node test/crash/payments.mjs ${replay}`)
  process.exitCode = 1
} else if (flags.dir === '') rmSync(dir, { recursive: true })
