/**
 * A restart is a non-event: `node test/crash/downtime.mjs [--seconds 60]`. A thousand tasks run on nodes with the documented
 * backoff; the coordinator is killed, stays down, and starts again with its default times. No task may be computed twice.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { InferenceNode } from '../../dist/inference-node/index.js'
import { readFlags } from './random.mjs'

const NODES = 10
const SLOTS = 100
/** The longest anything may take that is waited for, ms. */
const PATIENCE = 120_000

const seconds = Number(readFlags(process.argv.slice(2), { seconds: '60' }).seconds)
const dir = mkdtempSync(join(tmpdir(), 'inference-downtime-'))
const probe = createServer().listen(0, '127.0.0.1')
await once(probe, 'listening')
const { port } = probe.address()
probe.close()
await once(probe, 'close')

const start = async () => {
  const child = fork(fileURLToPath(new URL('../soak/serve.mjs', import.meta.url)), [
    JSON.stringify({ database_path: join(dir, 'inference.db'), api_port: port }),
  ])
  await once(child, 'message')
  return child
}
const url = `http://127.0.0.1:${port}`
const get = async (path) => (await (await fetch(url + path)).json()).data
const until = async (what, check) => {
  for (const end = Date.now() + PATIENCE; !(await check()); await sleep(200))
    if (Date.now() > end) throw new Error(`${what} did not come within ${PATIENCE / 1000} s`)
}

let service = await start()
const worked = new Map()
let release
const released = new Promise((resolve) => (release = resolve))
let connects = 0
const nodes = Array.from(
  { length: NODES },
  (_, i) =>
    new InferenceNode({
      coordinator: url,
      nodeId: `node-${i}`,
      models: ['llama'],
      maxConcurrentTasks: SLOTS,
      async work(task) {
        worked.set(task.task_id, (worked.get(task.task_id) ?? 0) + 1)
        await released
        return `answer to ${task.task_id}`
      },
      onEvent: (event) => {
        if (event.type === 'connected') connects++
      },
    }),
)
await Promise.all(nodes.map((node) => node.start()))
await until('every node', () => connects === NODES)
const tasks = Array.from({ length: NODES * SLOTS }, (_, i) => ({
  task_id: `t${i}`,
  user_address: 'ST1',
  user_input: 'q',
  infer_fee: 1,
  max_infer_time: 600,
  model_name: 'llama-3-8b',
}))
await fetch(`${url}/api/v1/tasks/batch`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ tasks }),
})
await until(
  'every task running',
  async () => (await get('/api/v1/stats')).processing_tasks === tasks.length && worked.size === tasks.length,
)
console.log(`${tasks.length} tasks run on ${NODES} nodes; the coordinator is killed and stays down for ${seconds} s`)

service.kill('SIGKILL')
await once(service, 'exit')
await sleep(seconds * 1000)
service = await start()
const startedAt = Date.now()
await until('every node back', () => connects === 2 * NODES)
const backAfter = (Date.now() - startedAt) / 1000
release()
await until('every task completed', async () => (await get('/api/v1/stats')).completed_tasks === tasks.length)
const attempts = await Promise.all(
  tasks.map(async ({ task_id }) => (await get(`/api/v1/tasks/${task_id}/status`)).attempts),
)
const again = [...worked.values()].filter((n) => n > 1).length
const more = attempts.filter((n) => n !== 1).length
await Promise.all(nodes.map((node) => node.stop()))
service.send('stop')
await once(service, 'exit')
rmSync(dir, { recursive: true, force: true })
console.log(
  `all nodes were back after ${backAfter.toFixed(1)} s; ${tasks.length} tasks completed, ${again} computed again, ${more} with another attempt`,
)
process.exit(again === 0 && more === 0 ? 0 : 1)
