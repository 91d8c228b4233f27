// npm run bench:askers -- [--quick]
// Those who ask over HTTP: how soon a node is told to stop when its asker hangs up, in each state of the task, plain and streamed;
// and what the event loop of the service does while many readers follow the words of one task.
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { readArgs } from './lib/args.mjs'
import { within } from './lib/children.mjs'
import { latency, now, show, showLatency } from './lib/measure.mjs'
import { openNode } from './lib/node.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'
import { createRest } from './lib/submitter.mjs'

const options = readArgs('bench:askers: hang-ups at the OpenAI door, and readers over server-sent events', {
  hangups: [200, 30, 'askers that hang up in each state, plain and streamed'],
  readers: [1000, 200, 'readers of the words of one task'],
  pieces: [500, 100, 'pieces of that task'],
  gap: [20, 20, 'ms between them'],
})
const MODEL = 'llama-3-8b'
const SLOTS = 4
const report = createReport('askers', options)
const service = await startService({ cli: options.cli, monitor: true, config: { max_connections_per_address: 5000 } })
const rest = createRest(service.url, { connections: 8 })

let assigned = () => undefined
let cancelled = () => undefined
const node = await openNode(service.url, {
  id: 'node-1',
  slots: SLOTS,
  models: [MODEL],
  onTask: (task) => assigned(task),
  onCancel: (message) => cancelled(message),
  // An acceptance that was under way when its asker hung up.
  onError: ({ code, message }) => {
    if (code !== 'stale_attempt') throw new Error(`${code}: ${message}`)
  },
})
const next = (set) => new Promise((resolve) => set(resolve))
const nextTask = () =>
  within(
    10_000,
    'a task',
    next((f) => (assigned = f)),
  )

/** A task that the node works on. */
async function begun() {
  const assigned = nextTask()
  await rest.submit({
    user_address: 'ST',
    user_input: 'x',
    context: '',
    infer_fee: 1,
    max_infer_time: 300,
    model_type: MODEL,
  })
  const task = await assigned
  node.accept(task)
  return task
}

/** Asks over a connection of its own. `headers` resolves when those of the answer have come, `piece` with the first words. */
function ask(stream, model = MODEL) {
  const body = JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'What is a lease?' }] })
  const asked = request(`${service.url}/v1/chat/completions`, {
    method: 'POST',
    agent: false,
    headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
  })
  asked.on('error', () => undefined) // its own hang-up
  const piece = new Promise((resolve) =>
    asked.on('response', (response) => {
      response.on('error', () => undefined)
      response.on('data', (part) => String(part).includes('"content"') && resolve())
    }),
  )
  asked.end(body)
  return { piece, hangUp: () => asked.destroy() }
}

/** ms from a hang-up to what the node is told, or to the end of a task that waits. */
const states = {
  waiting: async (stream) => {
    // All slots are taken: it waits.
    const before = (await rest.get('/api/v1/stats')).pending_tasks
    const one = ask(stream)
    while ((await rest.get('/api/v1/stats')).pending_tasks === before) await sleep(1)
    const began = now()
    one.hangUp()
    while ((await rest.get('/api/v1/stats')).pending_tasks > before) await sleep(0)
    return now() - began
  },
  'assigned, no text yet': async (stream) => hangUpAt(stream, async () => undefined),
  streaming: async (stream) =>
    hangUpAt(stream, async (task, one) => {
      node.send({
        type: 'task.output',
        task_id: task.task_id,
        attempt: task.attempt,
        seq: 0,
        offset: 0,
        delta: 'A lease ',
      })
      await (stream ? within(10_000, 'the first words', one.piece) : sleep(2))
    }),
}
async function hangUpAt(stream, until) {
  const one = ask(stream)
  const task = await nextTask()
  node.accept(task)
  await until(task, one)
  const told = within(
    10_000,
    'task.cancel',
    next((f) => (cancelled = f)),
  )
  const began = now()
  one.hangUp()
  await told
  return now() - began
}

const rows = [['a hang-up while the task is', 'plain, p50 / p99 ms', 'streamed, p50 / p99 ms']]
for (const [state, measure] of Object.entries(states)) {
  const blockers = []
  if (state === 'waiting') for (let i = 0; i < SLOTS; i++) blockers.push(await begun())
  const found = {}
  for (const kind of ['plain', 'streamed']) {
    const all = []
    for (let i = 0; i < options.hangups; i++) all.push(await measure(kind === 'streamed'))
    found[kind] = latency(all)
    report.raw(`${state}, ${kind}`, all)
    report.summary(`hang-up, ${state}, ${kind}`, `${showLatency(found[kind])} ms`, found[kind])
  }
  for (const task of blockers) node.complete(task, 'done')
  rows.push([state, showLatency(found.plain), showLatency(found.streamed)])
}
report.table('From a hang-up to task.cancel at the node (waiting: until nothing waits)', rows)

const { task_id, attempt } = await begun()
const delays = []
let ended = 0
let bytes = 0
const follow = () =>
  new Promise((resolve, reject) => {
    const asked = request(`${service.url}/api/v1/tasks/${task_id}/events`, { agent: false }, (response) => {
      resolve()
      response.on('data', (part) => {
        bytes += part.length
        const at = now()
        for (const [, sent] of String(part).matchAll(/@(\d+\.\d+)/g)) delays.push(at - Number(sent))
      })
      response.once('end', () => ended++)
    })
    asked.once('error', reject)
    asked.end()
  })
for (let i = 0; i < options.readers; i += 50)
  await Promise.all(Array.from({ length: Math.min(50, options.readers - i) }, follow))
await service.loopDelay()
const before = service.cpu()
const began = now()
let offset = 0
for (let seq = 0; seq < options.pieces; seq++) {
  const delta = `@${now()} `
  node.send({ type: 'task.output', task_id, attempt, seq, offset, delta })
  offset += delta.length
  await sleep(options.gap)
}
const seconds = (now() - began) / 1000
const loop = await service.loopDelay()
const cpu = (service.cpu() - before) / seconds
node.complete({ task_id, attempt }, 'done')
for (const until = now() + 20_000; ended < options.readers && now() < until;) await sleep(10)
const expected = options.readers * options.pieces
report.table(`${options.readers} readers of one task, a piece each ${options.gap} ms`, [
  ['', ''],
  ['event loop delay, p50 / p99 / most, ms', `${show(loop.p50)} / ${show(loop.p99)} / ${show(loop.max)}`],
  ['a piece from the node to a reader, p50 / p99, ms', showLatency(latency(delays))],
  ['pieces that came, of all', `${delays.length} of ${expected}`],
  ['readers that saw the end', ended],
  ['CPU of the service, share of a core', show(cpu)],
])
report.summary(
  `${options.readers} readers of one task: loop delay p50 / p99`,
  `${show(loop.p50)} / ${show(loop.p99)} ms`,
  loop,
)
report.finish()
rest.close()
await node.close()
await service.stop()
process.exit(ended === options.readers && bytes > 0 ? 0 : 1)
