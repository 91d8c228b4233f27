// npm run test:soak -- --minutes 10 [--seed N]
// Mixed load with flapping nodes for as long as it says; then memory, handles, timers and files must be flat.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { InferenceNode } from '../../dist/inference-node/index.js'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
})
const minutes = Number(values.minutes)
if (!(minutes > 0)) throw new Error('--minutes must be a number above 0')
let state = Number(values.seed) >>> 0
/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0
  let t = state
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}
const pick = (list) => list[Math.floor(random() * list.length)]
console.log(`soak: ${minutes} minutes, seed ${values.seed}`)

const dir = mkdtempSync(join(tmpdir(), 'inference-soak-'))
// Ended tasks live for a twentieth of the run, so that the file reaches its size early.
const settings = {
  database_path: join(dir, 'inference.db'),
  retention_days: (minutes * 60) / 20 / 86_400,
  heartbeat_interval: 2,
  reconnect_grace: 2,
  accept_timeout: 5,
  node_timeout: 10,
  max_pending_tasks: 5000,
}
const service = fork(fileURLToPath(new URL('./serve.mjs', import.meta.url)), [JSON.stringify(settings)], {
  execArgv: ['--expose-gc'],
})
const [{ url }] = await once(service, 'message')
const end = Date.now() + minutes * 60_000
const running = () => Date.now() < end
const MODELS = ['llama-3-8b', 'mistral-7b', 'gemma-2-9b']
const count = { submitted: 0, refused: 0, completed: 0, polled: 0, cancelled: 0, connects: 0, errors: 0 }

const post = async (path, body) => {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return { status: response.status, body: await response.json() }
}
const submission = () => ({
  user_address: `ST${Math.floor(random() * 50)}`,
  user_input: 'x'.repeat(Math.floor(random() * 4000)),
  infer_fee: Math.floor(random() * 5000),
  max_infer_time: 30,
  model_name: pick(MODELS),
})

async function submitter() {
  while (running()) {
    const batch = random() < 0.2
    const answer = batch
      ? await post('/api/v1/tasks/batch', { tasks: Array.from({ length: 20 }, submission) })
      : await post('/api/v1/tasks/submit', submission())
    const results = batch ? answer.body.data.results : [answer.body.data ?? answer.body]
    for (const r of results) count[r.task_id === undefined ? 'refused' : 'submitted']++
    const [first] = results
    if (first.task_id !== undefined && random() < 0.02) {
      await post(`/api/v1/tasks/${first.task_id}/cancel`, {})
      count.cancelled++
    }
    if (random() < 0.1) await (await fetch(`${url}/api/v1/tasks?limit=50`)).arrayBuffer()
    await sleep(random() * 20)
  }
}
async function flappingNode(i) {
  while (running()) {
    const node = new InferenceNode({
      coordinator: url,
      nodeId: `soak-${i}-${Math.floor(random() * 3)}`,
      models: [pick(MODELS), 'llama'],
      maxConcurrentTasks: 1 + Math.floor(random() * 8),
      async *work(task) {
        await sleep(random() * 50)
        if (random() < 0.02) throw new Error('soak failure')
        yield `answer to ${task.task_id} `
      },
      onEvent: (event) => {
        if (event.type === 'settled') count.completed++
        if (event.type === 'connected') count.connects++
      },
    })
    await node.start()
    await Promise.race([sleep(2000 + random() * 15_000), node.closed])
    await (random() < 0.5 ? node.drain(3) : node.stop())
  }
}
async function poller(i) {
  const node_id = `soak-poller-${i}`
  await post('/api/v1/nodes/register', {
    node_id,
    endpoint: 'http://192.0.2.1',
    public_key: 'placeholder',
    supported_models: ['mistral', 'gemma'],
  })
  while (running()) {
    const response = await fetch(`${url}/api/v1/nodes/${node_id}/tasks`)
    if (response.status !== 200) {
      await response.arrayBuffer()
      await sleep(50)
      continue
    }
    const { data } = await response.json()
    if (random() < 0.01) continue // it forgets, and asks again
    await post('/api/v1/tasks/complete', {
      task_id: data.task_id,
      output: 'polled',
      confidence: 0.5,
      inference_node_id: node_id,
    })
    count.polled++
  }
}
const kept = async (work) => {
  while (running()) {
    await work().catch((error) => {
      count.errors++
      console.error(error)
    })
  }
}

const samples = []
async function sample() {
  const answer = once(service, 'message')
  service.send('report')
  const [report] = await answer
  const size = readdirSync(dir).reduce((sum, file) => sum + statSync(join(dir, file)).size, 0)
  const handles = readdirSync(`/proc/${service.pid}/fd`).length
  samples.push({ ...report, handles, size })
}
async function sampler() {
  while (running()) {
    await sleep(Math.min(5000, (minutes * 60_000) / 40))
    await sample()
  }
}

await Promise.all([
  ...Array.from({ length: 3 }, () => kept(submitter)),
  ...Array.from({ length: 6 }, (_, i) => kept(() => flappingNode(i))),
  ...Array.from({ length: 2 }, (_, i) => kept(() => poller(i))),
  sampler(),
])
service.send('stop')
await once(service, 'exit')
rmSync(dir, { recursive: true, force: true })

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0
const quarter = Math.floor(samples.length / 4)
const MIB = 1024 * 1024
/** Flat: the last quarter is at most `factor` times the second one, and `slack` more. */
const figures = [
  { name: 'heap after gc, MiB', of: (s) => s.heapUsed / MIB, factor: 1.2, slack: 4 },
  { name: 'resident, MiB', of: (s) => s.rss / MIB, factor: 1.2, slack: 20 },
  { name: 'open handles', of: (s) => s.handles, factor: 1.3, slack: 15 },
  { name: 'timers', of: (s) => s.timers, factor: 1.3, slack: 15 },
  { name: 'files, MiB', of: (s) => s.size / MIB, factor: 1.3, slack: 8 },
]
console.log(count)
let flat = count.errors === 0
for (const { name, of, factor, slack } of figures) {
  const early = median(samples.slice(quarter, 2 * quarter).map(of))
  const late = median(samples.slice(-quarter).map(of))
  const ok = late <= early * factor + slack
  flat &&= ok
  console.log(
    `${ok ? 'flat  ' : 'GROWS '} ${name}: ${early.toFixed(1)} in the second quarter, ${late.toFixed(1)} in the last; highest ${Math.max(...samples.map(of)).toFixed(1)}`,
  )
}
process.exit(flat ? 0 : 1)
