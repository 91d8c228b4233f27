/**
 * Strangers: `node test/fuzz/run.mjs [--inputs 50000] [--seed N] [--message-bytes 4194304] [--thread yes]`. Broken calls, garbage,
 * raw HTTP, and messages of sessions about tasks that are not theirs, in all sizes up to the limits, beside an honest node. The
 * service must live, answer each in its envelope and below 500, and nothing that is stored may change. Exit code 1, with the
 * seed, if not.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Database } from '../../dist/store/sqlite.js'
import { readFlags } from '../crash/random.mjs'
import { hashOf, honestNode } from './honest.mjs'
import { createRandom } from './random.mjs'
import { openSocket, sendFrames, sendRaw, sendRequests } from './senders.mjs'

const flags = readFlags(process.argv.slice(2), {
  inputs: '50000',
  seed: String(Math.floor(Math.random() * 2 ** 31)),
  'message-bytes': String(4 * 1024 * 1024),
  thread: 'no',
})
const inputs = Number(flags.inputs)
const maxBytes = Number(flags['message-bytes'])
const dir = mkdtempSync(join(tmpdir(), 'inference-fuzz-'))
const file = join(dir, 'inference.db')
console.log(`fuzz: ${inputs} inputs, seed ${flags.seed}, messages up to ${maxBytes} bytes`)

const child = fork(fileURLToPath(new URL('../crash/serve.mjs', import.meta.url)), {
  stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
})
let errors = ''
child.stderr.on('data', (data) => (errors += data))
const ended = once(child, 'exit')
let exit = null
void ended.then(([code, signal]) => (exit = signal ?? code))
child.send({
  settings: {
    database_path: file,
    api_port: 0,
    heartbeat_interval: 600,
    accept_timeout: 600,
    reconnect_grace: 600,
    shutdown_timeout: 2,
    max_message_bytes: maxBytes,
    core_thread: flags.thread === 'yes',
  },
  kill: null,
})
const [{ url }] = await Promise.race([once(child, 'message'), ended.then(() => Promise.reject(new Error(errors)))])

const post = async (path, body) => {
  const answer = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
}
const task = (task_id, model_name) => ({
  task_id,
  user_address: 'ST1',
  user_input: 'q',
  infer_fee: 1,
  max_infer_time: 3600,
  model_name,
})
const honest = await honestNode(url, 'honest', ['llama'])
const session = await honest.open()
await post('/api/v1/tasks/submit', task('held', 'llama'))
const { attempt } = await honest.next('task.assign')
session.send(JSON.stringify({ type: 'task.accept', task_id: 'held', attempt }))
await post('/api/v1/tasks/submit', task('waits', 'nobody-serves-this'))
const stranger = await honestNode(url, 'stranger', ['gemma']) // proven, and hostile
;(await stranger.open()).close(1000)

const stats = async () => {
  const { data } = await (await fetch(`${url}/api/v1/stats`)).json()
  // Who is online is no secret and no state: the hostile node comes and goes.
  return JSON.stringify(Object.entries(data).filter(([name]) => name.endsWith('_tasks') || name === 'total_nodes'))
}
const db = new Database(file, { readonly: true })
const before = { stats: await stats(), hash: hashOf(db) }

const random = createRandom(Number(flags.seed))
const counts = { http: 0, raw: 0, unproven: 0, node: 0, client: 0, answered: 0 }
const share = (part) => Math.round(inputs * part)
const began = Date.now()
const source = () => createRandom(random.below(2 ** 32))
const [wrong] = await Promise.all([
  sendRequests({ url, random: source(), n: share(0.25), maxBytes, counts }),
  sendRaw({ url, random: source(), n: share(0.01), counts }),
  sendFrames({
    kind: 'unproven',
    open: () => openSocket(url, 'node'),
    random: source(),
    n: share(0.04),
    maxBytes,
    counts,
  }),
  sendFrames({ kind: 'node', open: stranger.open, random: source(), n: share(0.35), maxBytes, counts }),
  sendFrames({
    kind: 'client',
    open: () => openSocket(url, 'client'),
    random: source(),
    n: share(0.35),
    maxBytes,
    counts,
  }),
])

if (exit !== null) wrong.push(`the service has ended: ${exit} ${errors}`)
else {
  const after = { stats: await stats(), hash: hashOf(db) }
  if (after.stats !== before.stats) wrong.push(`stats changed: ${before.stats} ${after.stats}`)
  if (after.hash !== before.hash) wrong.push('stored rows changed')
  session.send(JSON.stringify({ type: 'task.complete', task_id: 'held', attempt, output: 'honest', confidence: 1 }))
  const settled = await honest.next('task.settled')
  if (settled.status !== 'completed') wrong.push(`the honest node was answered ${JSON.stringify(settled)}`)
}
db.close()
session.terminate()
child.kill('SIGTERM')
const late = setTimeout(() => child.kill('SIGKILL'), 30_000)
await ended
clearTimeout(late)
rmSync(dir, { recursive: true, force: true })

for (const [name, n] of Object.entries({
  ...counts,
  seconds: Math.round((Date.now() - began) / 1000),
  violations: wrong.length,
}))
  console.log(`  ${name}  ${n}`)
for (const line of wrong.slice(0, 20)) console.log(`  violation: ${line}`)
if (wrong.length > 0) console.log(`replay it with --seed ${flags.seed}`)
process.exitCode = wrong.length > 0 ? 1 : 0
