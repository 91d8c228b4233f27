// npm run bench:turns -- [--quick]
// How long what somebody asks holds up the event loop: the longest turn while one answer is made, with many nodes and many tasks.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database } from '../../dist/store/sqlite.js'
import { generate } from './generate.mjs'
import { readArgs } from './lib/args.mjs'
import { latency, show } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'
import { createRest } from './lib/submitter.mjs'

const options = readArgs('bench:turns: the longest turn of the event loop while one answer is made', {
  runs: [1, 1, 'passes over all paths'],
  nodes: [10_000, 10_000, 'registered nodes'],
  models: [150, 150, 'names that they list'],
  tasks: [100_000, 20_000, 'stored tasks'],
  samples: [40, 10, 'answers of each path'],
})
const paths = [
  '/health',
  '/api/v1/stats',
  '/api/v1/nodes',
  '/api/v1/nodes?limit=50',
  '/api/v1/nodes?limit=1000',
  '/api/v1/nodes?limit=200&status=online',
  '/api/v1/nodes?limit=200&q=9',
  '/api/v1/nodes?limit=200&model=model-7',
  '/api/v1/nodes/bench-node-5000',
  '/api/v1/tasks?limit=50',
  '/api/v1/tasks?limit=1000',
  '/api/v1/models',
  '/api/v1/overview?window=15m',
  '/api/v1/overview?window=24h',
  '/metrics',
]
const report = createReport('turns', options)
const folder = mkdtempSync(join(tmpdir(), 'bench-turns-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const database = join(folder, 'inference.db')
await generate({ file: database, tasks: options.tasks, pending: Math.min(10_000, options.tasks / 10) })
addNodes(database)

for (const core_thread of [false, true]) {
  const found = new Map(paths.map((path) => [path, { turns: [], took: [] }]))
  for (let run = 0; run < options.runs; run++) {
    const service = await startService({
      cli: options.cli,
      database,
      monitor: 'turns',
      config: { core_thread, node_timeout: 86_400 },
      sections: () => '[metrics]\nenabled = true\n',
    })
    const rest = createRest(service.url, { connections: 1 })
    try {
      for (let i = -5; i < options.samples; i++) {
        for (const path of paths) {
          await service.loopDelay()
          const began = performance.now()
          const { status, text } = await rest.call('GET', path)
          const took = performance.now() - began
          const { longest } = await service.loopDelay()
          if (status !== 200) throw new Error(`GET ${path}: ${status} ${text.slice(0, 200)}`)
          if (i < 0) continue // until its code is compiled
          found.get(path).turns.push(longest)
          found.get(path).took.push(took)
        }
      }
      rest.close()
      found.set('the feed, of one reader: a second', await feed(service))
    } finally {
      rest.close()
      await service.stop()
    }
  }
  const of = (l) => `${show(l.p50)} / ${show(l.p90)} / ${show(l.max)}`
  report.table(`${options.nodes} nodes, ${options.tasks} tasks${core_thread ? ', core_thread' : ''}`, [
    ['', 'longest turn, p50 / p90 / max, ms', 'answered in, ms'],
    ...[...found].map(([path, { turns, took }]) => [path, of(latency(turns)), of(latency(took))]),
  ])
  report.raw(core_thread ? 'thread' : 'same', Object.fromEntries(found))
}
report.finish()

/** The longest turn of each second while somebody reads the feed. */
async function feed(service) {
  const abort = new AbortController()
  const { body } = await fetch(`${service.url}/api/v1/events`, { signal: abort.signal })
  const reading = body.pipeTo(new WritableStream()).catch(() => undefined)
  const turns = []
  for (let i = -1; i < options.samples / 4; i++) {
    await new Promise((done) => setTimeout(done, 1000))
    const { longest } = await service.loopDelay()
    if (i >= 0) turns.push(longest)
  }
  abort.abort()
  await reading
  return { turns, took: [] }
}

/** Polling nodes that were there a moment ago. */
function addNodes(file) {
  const db = new Database(file)
  const insert =
    db.prepare(`INSERT INTO inference_nodes (node_id, endpoint, public_key, key_proven, status, supported_models, performance_score, max_concurrent_tasks, transport, last_heartbeat, last_seen_ms)
    VALUES (?, 'http://192.0.2.1:5000', ?, 0, 'online', ?, 1, 4, 'rest', ?, ?)`)
  db.transaction(() => {
    for (let i = 0; i < options.nodes; i++) {
      const models = [1, 7, 13].map((step) => `model-${(i * step) % options.models}`)
      const now = Date.now()
      // Not in the order of their ids.
      insert.run(
        `bench-node-${(i * 7919) % options.nodes}`,
        '03'.padEnd(66, String(i % 10)),
        JSON.stringify([...new Set(models)]),
        Math.floor(now / 1000),
        now,
      )
    }
  })()
  db.close()
}
