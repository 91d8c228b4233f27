import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import * as v from 'valibot'
import { coreOptions, inferenceDefaults } from '../../src/config.js'
import { createCore } from '../../src/core/engine/core.js'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { openDatabase } from '../../src/store/open.js'
import { createStore } from '../../src/store/store.js'
import { createModelTable } from '../../src/rules/models.js'
import { submitBody } from '../../src/wire/rest.js'
import { fakeTime } from '../support/fake-time.js'
import { inspect, type Service, startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

const DAY = 86_400

function change(file: string, sql: string): void {
  const db = new Database(file)
  onTestFinished(() => void db.close())
  db.exec(sql)
  db.close()
}
const sound = (file: string) => expect(checkDatabase(file).filter((f) => !f.ok)).toEqual([])
const total = async (service: Service): Promise<number> =>
  ((await service.get('/api/v1/stats')).body?.data as { total_tasks: number }).total_tasks

/** A database that nobody serves, with a task in every status; `done` was made first. */
async function fileWithEveryStatus(): Promise<string> {
  const service = await startService()
  await service.register('node-1')
  const end = async (task_id: string, how: 'complete' | 'fail') => {
    await service.submit({ task_id })
    await service.poll('node-1')
    const said = how === 'complete' ? { output: 'Paris', confidence: 1 } : { error: 'no', retryable: false }
    expect((await service.post(`/api/v1/tasks/${how}`, { inference_node_id: 'node-1', task_id, ...said })).status).toBe(
      200,
    )
  }
  await end('done', 'complete')
  await end('sent', 'complete')
  await end('failed', 'fail')
  await end('late', 'fail')
  await end('again', 'fail')
  expect((await service.post('/api/v1/tasks/again/retry', {})).status).toBe(200)
  expect(await service.poll('node-1')).toMatchObject({ task_id: 'again' })
  expect(
    (
      await service.post('/api/v1/tasks/fail', {
        inference_node_id: 'node-1',
        task_id: 'again',
        error: 'no',
        retryable: false,
      })
    ).status,
  ).toBe(200)
  await service.submit({ task_id: 'running' })
  expect(await service.poll('node-1')).toMatchObject({ task_id: 'running' })
  await service.submit({ task_id: 'waiting' })
  await service.stop()
  change(
    service.file,
    `UPDATE inference_tasks SET status = 'submitted' WHERE task_id = 'sent'; UPDATE inference_tasks SET status = 'timeout' WHERE task_id = 'late';
    DELETE FROM task_counts; INSERT INTO task_counts SELECT status, count(*) FROM inference_tasks GROUP BY status`,
  )
  sound(service.file)
  return service.file
}
const age = (file: string, days: number, which = 'true') =>
  change(
    file,
    `UPDATE inference_tasks SET created_at = created_at - ${days * DAY}, updated_at = updated_at - ${days * DAY} WHERE ${which}`,
  )

test('tasks that ended long ago are deleted with all that belongs to them; what waits, runs or is younger stays', async () => {
  const file = await fileWithEveryStatus()
  age(file, 10)
  const service = await startService({ database_path: file, retention_days: 7, max_queue_time: 0 })
  await until(async () => (await total(service)) === 2, 'the old tasks being deleted')
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
    pending_tasks: 1,
    processing_tasks: 1,
    completed_tasks: 0,
    submitted_tasks: 0,
    failed_tasks: 0,
    timeout_tasks: 0,
  })
  expect((await service.get('/api/v1/tasks/done/status')).status).toBe(404)
  expect(await service.status('waiting')).toMatchObject({ status: 'pending' })
  // What was running can still end, and a deleted task_id be used for another task.
  expect(
    (
      await service.post('/api/v1/tasks/complete', {
        inference_node_id: 'node-1',
        task_id: 'running',
        output: 'Rome',
        confidence: 1,
      })
    ).status,
  ).toBe(200)
  expect(
    (
      await service.post('/api/v1/tasks/complete', {
        inference_node_id: 'node-1',
        task_id: 'done',
        output: 'late',
        confidence: 1,
      })
    ).body?.success,
  ).toBe(false)
  await service.submit({ task_id: 'done', user_input: 'Something else?' })
  expect(await service.status('done')).toMatchObject({ status: 'pending', attempts: 0, result: null })
  await service.stop()
  inspect(file, (db) => {
    expect(db.prepare('SELECT DISTINCT task_id FROM attempts').all()).toEqual([{ task_id: 'running' }])
    expect(db.prepare('SELECT * FROM reopenings').all()).toEqual([])
  })
  sound(file)
})

test('a task counts from its end, not from its beginning', async () => {
  const file = await fileWithEveryStatus()
  age(file, 10)
  age(file, -9, "task_id IN ('sent', 'late')")
  change(file, `UPDATE inference_tasks SET created_at = created_at - ${9 * DAY} WHERE task_id IN ('sent', 'late')`)
  const service = await startService({ database_path: file, retention_days: 7, max_queue_time: 0 })
  await until(async () => (await total(service)) === 4, 'the old tasks being deleted')
  for (const id of ['sent', 'late', 'waiting', 'running'])
    expect((await service.get(`/api/v1/tasks/${id}/status`)).status).toBe(200)
})

test('as time passes a running service deletes what becomes old enough', async () => {
  const time = fakeTime()
  const service = await startService({ retention_days: 100 / DAY }, time)
  await service.register('node-1')
  await service.submit({ task_id: 'a' })
  await service.poll('node-1')
  await service.post('/api/v1/tasks/complete', {
    inference_node_id: 'node-1',
    task_id: 'a',
    output: 'Paris',
    confidence: 1,
  })
  await time.pass(service, 90)
  expect(await service.status('a')).toMatchObject({ status: 'completed' })
  await time.pass(service, 20)
  await until(async () => {
    await time.pass(service, 1)
    return (await total(service)) === 0
  }, 'the task being deleted')
})

/** Adds `n` failed tasks of long ago, with 4 KB of text each. */
const addOld = (file: string, n: number) =>
  change(
    file,
    `WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ${n})
    INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type, model_name, model_key, status, created_at, updated_at, queued_ms, queue_rank)
      SELECT 'old-' || n, 'ST1', hex(zeroblob(2000)), '', 0, 0, 1, 60, 'llama', 'llama', 'llama', 'failed', 1600000000, 1600000000, 0, 1 FROM i;
    INSERT INTO task_counts SELECT 'failed', ${n} WHERE true ON CONFLICT (status) DO UPDATE SET tasks = tasks + excluded.tasks`,
  )

test('one look deletes at most a hundred tasks, and rests when there is nothing old enough', () => {
  const file = join(tempDir(), 'inference.db')
  openDatabase(file).close()
  addOld(file, 250)
  const time = fakeTime()
  const database = openDatabase(file)
  onTestFinished(() => void (database.db.open && database.close()))
  const core = createCore({
    store: createStore(database.db),
    models: createModelTable(),
    options: coreOptions(inferenceDefaults({ database_path: file, retention_days: 30 })),
    time,
  })
  const left = () => database.db.prepare<[], { n: number }>('SELECT count(*) AS n FROM inference_tasks').get()?.n
  const after: unknown[] = []
  for (let i = 0; i < 4; i++) {
    core.turn([{ op: 'tick' }])
    after.push(left())
    time.jump(1)
  }
  expect(after).toEqual([150, 50, 0, 0])
  addOld(file, 1)
  core.turn([{ op: 'tick' }])
  expect(left()).toBe(1)
  for (let i = 0; i < 3700; i++) {
    time.jump(1)
    core.turn([{ op: 'tick' }])
  }
  expect(left()).toBe(0)
})

/** A core that deletes what is older than 30 days, and a clock that goes on by `cost` ms with every look at it. */
function deletingWorld(old: number, cost: number) {
  const file = join(tempDir(), 'inference.db')
  openDatabase(file).close()
  addOld(file, old)
  const time = fakeTime()
  let spent = 0
  const database = openDatabase(file)
  onTestFinished(() => void (database.db.open && database.close()))
  const store = createStore(database.db)
  const core = createCore({
    store,
    models: createModelTable(),
    options: coreOptions(inferenceDefaults({ database_path: file, retention_days: 30, heartbeat_interval: 3600 })),
    time: { wall: time.wall, monotonic: () => (spent += cost) + time.monotonic() },
  })
  const newTask = v.parse(submitBody, {
    user_address: 'ST1',
    user_input: 'q',
    infer_fee: 1,
    max_infer_time: 600,
    model_name: 'llama',
  })
  return {
    file,
    store,
    /** One look, beside `submitted` tasks. @returns how many it deleted, and when it wants to look again, ms */
    look(submitted: number, late = 0) {
      const before = store.tasks.counts.failed
      const { wakeIn } = core.turn([
        { op: 'submit', tasks: Array.from({ length: submitted }, () => newTask) },
        { op: 'tick' },
      ])
      const deleted = before - store.tasks.counts.failed
      time.jump((Math.ceil(wakeIn) + late) / 1000)
      return { deleted, wakeIn }
    },
    turn: core.turn,
    passes: (ms: number) => time.jump(ms / 1000),
    database,
  }
}

test('a bite ends by the clock: the longer rows take to delete, the fewer it takes', () => {
  const slow = deletingWorld(100, 1)
  expect(slow.look(0).deleted).toBe(4)
  const fast = deletingWorld(300, 0)
  expect(fast.look(0).deleted).toBe(100)
})

test('it takes half of the time while nobody wants it, a twentieth beside a load, and a quarter where more is stored than deleted', () => {
  const world = deletingWorld(3000, 0.2)
  /** How many are deleted in a second. */
  const rate = (submitted: number, late = 0): number => {
    world.look(submitted, late)
    let deleted = 0
    let ms = 0
    for (let i = 0; i < 12; i++) {
      const look = world.look(submitted, late)
      deleted += look.deleted
      ms += look.wakeIn + late
    }
    return (1000 * deleted) / ms
  }
  const idle = rate(0)
  const late = rate(0, 10)
  const beside = rate(1)
  const behind = rate(500)
  expect(idle).toBeGreaterThan(beside * 3)
  expect(behind).toBeGreaterThan(beside * 3)
  expect(late).toBeLessThan(beside)
})

test('it deletes at least as fast as is stored, for as long as there is anything old enough', () => {
  const world = deletingWorld(4000, 0.02)
  let stored = 0
  let deleted = 0
  for (let i = 0; i < 60; i++) {
    deleted += world.look(25, 10).deleted
    stored += 25
  }
  expect(deleted).toBeGreaterThan(stored)
  expect(world.store.tasks.counts.pending).toBe(stored)
})

test('a restart in the middle goes on, and what was passed over is deleted when it has become old enough', () => {
  const world = deletingWorld(40, 1)
  change(world.file, "UPDATE inference_tasks SET updated_at = unixepoch() WHERE task_id IN ('old-1', 'old-20')")
  for (let i = 0; i < 20; i++) world.look(0)
  expect(world.store.tasks.counts.failed).toBe(2)
  change(world.file, "UPDATE inference_tasks SET updated_at = 1600000000 WHERE task_id IN ('old-1', 'old-20')")
  for (let i = 0; i < 3700; i++) {
    world.passes(1000)
    world.turn([{ op: 'tick' }])
  }
  expect(world.store.tasks.counts.failed).toBe(0)
  world.database.close()
  sound(world.file)
})

test('beside a load some room is left to what is stored next; with nothing to do all of it is given back', () => {
  const world = deletingWorld(300, 0)
  const free: number[] = []
  for (let i = 0; i < 30; i++) {
    world.look(1, 10)
    free.push(world.store.freePages())
  }
  expect(world.store.tasks.counts.failed).toBe(0)
  expect(free.at(-1)).toBeGreaterThan(100)
  for (let i = 0; i < 200; i++) world.look(0)
  expect(world.store.freePages()).toBe(0)
})

test('while thousands are deleted others are served, and the file gives the room back', async () => {
  const first = await startService()
  await first.stop()
  const { file } = first
  addOld(file, 1500)
  const before = statSync(file).size
  const service = await startService({ database_path: file, retention_days: 30 })
  const failed = async () => ((await service.get('/api/v1/stats')).body?.data as { failed_tasks: number }).failed_tasks
  for (let i = 0; i < 3 || (await failed()) > 0; i++) await service.submit({ task_id: `new-${i}` })
  await until(
    () => inspect(file, (db) => db.pragma('freelist_count', { simple: true })) === 0,
    'the free pages being given back',
  )
  await service.stop()
  expect(statSync(file).size).toBeLessThan(before / 2)
  sound(file)
})

test('without retention_days everything is kept', async () => {
  const file = await fileWithEveryStatus()
  age(file, 3000)
  const service = await startService({ database_path: file, max_queue_time: 0 })
  expect(await total(service)).toBe(7)
  await service.stop()
  expect(inspect(file, (db) => db.prepare('SELECT count(*) AS n FROM inference_tasks').get())).toEqual({ n: 7 })
})

test('a deletion that fails holds up nothing else', async () => {
  const file = await fileWithEveryStatus()
  age(file, 10)
  change(
    file,
    "CREATE TRIGGER stuck BEFORE DELETE ON inference_tasks WHEN old.task_id = 'failed' BEGIN SELECT RAISE(ABORT, 'stuck'); END",
  )
  const service = await startService({ database_path: file, retention_days: 7, max_queue_time: 0 })
  await service.submit(task({ task_id: 'new' }))
  await service.register('node-2')
  expect((await service.get('/health')).status).toBe(200)
  expect(await total(service)).toBe(8)
  await service.stop()
  sound(file)
})

test('retention_days must be a number of days', () => {
  for (const retention_days of [-1, 40_000])
    expect(() => inferenceDefaults({ database_path: 'x.db', retention_days })).toThrow(
      'retention_days must be a number of days from 0 to 36500',
    )
})
