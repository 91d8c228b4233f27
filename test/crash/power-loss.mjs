/**
 * Power loss: `node test/crash/power-loss.mjs --images 200 [--seed N] [--dir FOLDER] [--fsyncs N] [--slow yes]` (a slow disk, which is
 * synced beside the thread). Runs real load, notes at
 * every commit what is on the disk and what has been acknowledged by then, builds images of the database's folder as a power
 * cut could leave it, and opens every one of them. Exit code 1, with the seed, when one does not hold what was promised.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCoordinator, inferenceDefaults } from '../../dist/coordinator.js'
import { silentLog } from '../../dist/lib/log.js'
import { openDatabase } from '../../dist/store/open.js'
import { Database } from '../../dist/store/sqlite.js'
import { checkDatabase, checkStats, print } from './check.mjs'
import { createWorld } from './clients.mjs'
import { countSyncs } from './fsyncs.mjs'
import { createChoice, noise, readFlags } from './random.mjs'
import { createRecord } from './record.mjs'
import { quickSettings } from './server.mjs'
import { followFiles, imageOf } from './wal.mjs'

/** The longest the load may run, ms. */
const PATIENCE = 60_000
/** Of each ten images. */
const KINDS = [
  'wal torn',
  'checkpoint half done',
  'wal torn',
  'wal begun anew',
  'wal torn',
  'checkpoint half done',
  'wal torn',
  'wal torn',
  'wal begun anew',
  'wal torn',
]

const flags = readFlags(process.argv.slice(2), {
  images: '200',
  seed: String(Math.floor(Math.random() * 2 ** 31)),
  dir: '',
  fsyncs: '200',
  checkpoints: '4',
  slow: 'no',
})
if (flags.slow === 'yes') {
  process.env.SLOW_SYNC_MS = '4'
  await import('../support/slow-sync.mjs')
}
const dir = flags.dir === '' ? mkdtempSync(join(tmpdir(), 'inference-power-')) : flags.dir
const choice = createChoice(flags.seed)
const settings = (database_path) =>
  inferenceDefaults({
    database_path,
    ...quickSettings,
    max_attempts: 4,
  })
console.log(`power loss: ${flags.images} images, seed ${flags.seed}${flags.slow === 'yes' ? ', a slow disk' : ''}`)

/** Runs load until the WAL was copied into the main file so many times. */
async function runLoad(file) {
  const files = followFiles(file)
  const record = createRecord(() => files.moments.length)
  const onCommitPoint = (point) => {
    if (point === 'before commit') files.before()
    if (point === 'after commit') files.committed()
    if (point === 'after sync') files.synced()
  }
  const coordinator = createCoordinator({ settings: settings(file), log: silentLog(), onCommitPoint })
  const { url } = await coordinator.listen()
  const world = createWorld({
    server: { up: (signal) => Promise.resolve(signal.aborted ? null : url) },
    record,
    choice,
    bulk: 60_000,
  })
  const checkpoints = () => files.moments.filter((m) => m.checkpointed).length
  for (const end = Date.now() + PATIENCE; checkpoints() < Number(flags.checkpoints); await sleep(10)) {
    if (Date.now() > end) throw new Error(`only ${checkpoints()} checkpoints within ${PATIENCE} ms`)
  }
  // Stopped in the middle: tasks that wait and tasks that run are in the images too.
  await world.end()
  await coordinator.stop()
  files.closed()
  return { record, moments: files.moments }
}

/** Opens an image as the service does, and says what is wrong with it. */
async function tryImage(image, record, i) {
  const folder = join(dir, `image-${i}`)
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'inference.db')
  writeFileSync(file, image.main)
  writeFileSync(`${file}-wal`, image.wal)
  // The index of the WAL is memory that happens to be a file; nothing it says may matter.
  if (choice('shm', i) < 0.5) writeFileSync(`${file}-shm`, noise(i, 'shm', 32_768))
  const wrong = []
  const look = () => {
    const { db, close } = openDatabase(file)
    try {
      wrong.push(...checkDatabase(db, record, { until: image.commits }))
      return db.prepare('SELECT count(*) FROM inference_tasks').pluck().get()
    } finally {
      close()
    }
  }
  try {
    if (i % 2 === 0) look()
    const coordinator = createCoordinator({ settings: settings(file), log: silentLog() })
    const { url } = await coordinator.listen()
    try {
      const stats = await (await fetch(`${url}/api/v1/stats`)).json()
      const reader = new Database(file, { readonly: true })
      wrong.push(...checkStats(reader, stats.data))
      reader.close()
      const body = JSON.stringify({
        task_id: 'after',
        user_address: 'ST-after',
        user_input: 'x',
        infer_fee: 1,
        max_infer_time: 30,
        model_name: 'llama',
      })
      const answer = await fetch(`${url}/api/v1/tasks/submit`, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json' },
      })
      if (answer.status !== 200) wrong.push(`a submission is answered ${answer.status}`)
      await answer.arrayBuffer()
    } finally {
      await coordinator.stop()
    }
    look()
    const db = new Database(file, { readonly: true })
    if (db.prepare("SELECT 1 FROM inference_tasks WHERE task_id = 'after'").get() === undefined)
      wrong.push('what was submitted on the image is lost')
    db.close()
  } catch (error) {
    wrong.push(`cannot be used: ${error.stack}`)
  }
  if (wrong.length === 0) rmSync(folder, { recursive: true })
  return wrong.map((text) => `image ${i} (${image.kind}, ${image.commits} commits): ${text}`)
}

mkdirSync(dir, { recursive: true })
const { record, moments } = await runLoad(join(dir, 'inference.db'))
const wrong = [...record.violations]
const kinds = {}
let promises = 0
for (let i = 0; i < Number(flags.images); i++) {
  const image = imageOf(moments, KINDS[i % KINDS.length], choice, i)
  if (image === null) {
    wrong.push(`image ${i}: the load gave no ${KINDS[i % KINDS.length]}`)
    continue
  }
  kinds[image.kind] = (kinds[image.kind] ?? 0) + 1
  for (const promised of [record.tasks, record.results, record.failures])
    for (const { at } of promised.values()) if (at <= image.commits) promises++
  wrong.push(...(await tryImage(image, record, i)))
}

// A check that never fails proves nothing: an image that ends before the last sync must be found to have lost something.
let controls = 0
const isNewIn = (k, id) => {
  const { generation, end } = moments[k]
  const before = moments[k - 1]
  const there = (bytes) => bytes.includes(id)
  const { bytes } = generation
  return there(bytes.subarray(before.end, end)) && !there(bytes.subarray(0, before.end)) && !there(before.main)
}
const losers = moments.flatMap((m, k) =>
  k > 0 &&
  moments[k - 1].generation === m.generation &&
  [...record.tasks].some(([id, { at }]) => at === k + 1 && isNewIn(k, id))
    ? [k]
    : [],
)
for (let i = 0; i < 5; i++) {
  const at = losers[Math.floor(choice('control', i) * losers.length)]
  const { generation, main } = moments[at - 1]
  const image = { kind: 'control', main, wal: generation.bytes.subarray(0, moments[at].end - 1), commits: at + 1 }
  const found = await tryImage(image, record, `control-${i}`)
  if (found.some((text) => text.includes('is lost'))) controls++
  else wrong.push(`the check does not notice that commit ${at + 1} is missing`)
  rmSync(join(dir, `image-control-${i}`), { recursive: true, force: true })
}

console.log('load')
print({
  commits: moments.length,
  checkpoints: moments.filter((m) => m.checkpointed).length,
  'tasks acknowledged': record.tasks.size,
  'results settled': record.results.size,
})
console.log('images')
print({ ...kinds, 'promises checked': promises, 'controls found to have lost something': `${controls} of 5` })
if (Number(flags.fsyncs) > 0) {
  const syncs = await countSyncs(join(dir, 'fsyncs'), Number(flags.fsyncs), flags.slow === 'yes')
  console.log('syncs')
  print(syncs.figures)
  wrong.push(...syncs.wrong)
}
console.log(`violations  ${wrong.length}`)
for (const text of wrong.slice(0, 20)) console.log(`  ${text.slice(0, 800)}`)
if (wrong.length > 0) {
  console.log(
    `FAILED; everything is in ${dir}; replay with: node test/crash/power-loss.mjs --images ${flags.images} --seed ${flags.seed} --slow ${flags.slow}`,
  )
  process.exitCode = 1
} else if (flags.dir === '') rmSync(dir, { recursive: true })
