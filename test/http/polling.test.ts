import { expect, test } from 'vitest'
import { fakeTime, type FakeTime } from '../support/fake-time.js'
import { complete, detailOf, nodeOf } from '../support/rest-calls.js'
import { inspect, type Service, startService, task } from '../support/service.js'

test('a poll answers with exactly the documented fields', async () => {
  const service = await startService()
  await service.register('node-1')
  const a = await service.submit({
    user_input: 'q',
    context: 'c',
    infer_fee: '77',
    max_infer_time: 9,
    model_name: 'Llama-3-8B',
    signed_tx: '0xab',
  })
  const polled = await service.poll('node-1')
  expect(polled).toEqual({
    task_id: a,
    user_input: 'q',
    context: 'c',
    model_name: 'Llama-3-8B',
    model_type: 'llama',
    max_infer_time: 9,
    infer_fee: 77,
    signed_tx: '0xab',
    status: 'in_progress',
    created_at: expect.any(Number),
    attempt: 1,
  })
  expect(await service.status(a)).toMatchObject({ status: 'in_progress', created_at: polled.created_at, attempts: 1 })
  await complete(service, 'node-1', a)
  await service.submit()
  expect(await service.poll('node-1')).toMatchObject({ signed_tx: null, context: '' })
})

test('a poll is 204 when nothing waits for this node, and 404 for a node that nobody knows', async () => {
  const service = await startService()
  await service.register('node-1', { supported_models: ['gemma'] })
  await service.register('none', { supported_models: [] })
  await service.submit({ model_name: 'llama-3' })
  expect(await service.poll('node-1')).toBeNull()
  expect(await service.poll('none')).toBeNull()
  const unknown = await service.get('/api/v1/nodes/nobody/tasks')
  expect({ status: unknown.status, code: unknown.body?.code }).toEqual({ status: 404, code: 'node_not_registered' })
})

test('a task that one node polled is given to no other, however many poll at once', async () => {
  const service = await startService()
  const nodes = Array.from({ length: 12 }, (_, i) => `node-${i}`)
  await Promise.all(nodes.map((n) => service.register(n)))
  const ids = (
    await service.post('/api/v1/tasks/batch', { tasks: Array.from({ length: 8 }, () => task()) })
  ).body?.data.results.map((r: { task_id: string }) => r.task_id) as string[]
  const got = (await Promise.all(nodes.map((n) => service.poll(n))))
    .filter((t) => t !== null)
    .map((t) => t.task_id as string)
  expect(got.toSorted()).toEqual(ids.toSorted())
})

test('a node with one slot that polls many times at once gets one task, in one attempt', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  const other = await service.submit()
  const answers = await Promise.all(Array.from({ length: 5 }, () => service.poll('node-1')))
  for (const t of answers) expect(t).toMatchObject({ task_id: id, attempt: 1 })
  expect(await service.status(other)).toMatchObject({ status: 'pending', attempts: 0 })
})

/** Takes the task that the node holds so often that it counts as failed with the next poll. */
async function skip(service: Service, time: FakeTime, node: string, held: { task_id: string; attempt: number }) {
  for (let i = 0; i < 5; i++) {
    expect(await service.poll(node)).toMatchObject(held)
    await time.pass(service, 1)
  }
}

test('an attempt is handed out five times, then it counts as failed on that node', async () => {
  const time = fakeTime()
  const service = await startService({ max_attempts: 2 }, time)
  await service.register('node-1')
  await service.register('node-2')
  const id = await service.submit({ infer_fee: 9 })
  await skip(service, time, 'node-1', { task_id: id, attempt: 1 })
  expect(await service.status(id)).toMatchObject({ status: 'in_progress', attempts: 1 })
  // Another node can serve it, so the one that skipped it goes on with the next.
  const next = await service.submit({ infer_fee: 1 })
  expect(await service.poll('node-1')).toMatchObject({ task_id: next, attempt: 1 })
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 1, error: null })
  expect(inspect(service.file, (db) => db.prepare('SELECT end FROM attempts WHERE task_id = ?').pluck().get(id))).toBe(
    'failed',
  )
  await skip(service, time, 'node-2', { task_id: id, attempt: 2 })
  expect(await service.poll('node-2')).toBeNull()
  expect(await service.status(id)).toMatchObject({
    status: 'failed',
    attempts: 2,
    error: expect.stringMatching(/5 times/),
    result: null,
  })
})

test('however often somebody polls within a second, that counts as once', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('node-1')
  const id = await service.submit()
  for (let second = 0; second < 5; second++) {
    for (let i = 0; i < 16; i++) expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 1 })
    expect(await service.status(id)).toMatchObject({ status: 'in_progress' })
    await time.pass(service, 1)
  }
  expect(await service.poll('node-1')).toBeNull()
  expect(await detailOf(service, id)).toMatchObject({
    attempts: [{ end: 'failed', error: expect.stringMatching(/5 times/) }],
  })
})

test('a restart within that second does not make it count twice', async () => {
  const time = fakeTime()
  const first = await startService({}, time)
  await first.register('node-1')
  const id = await first.submit()
  await first.poll('node-1')
  await time.pass(first, 1)
  await first.poll('node-1')
  const handouts = (file: string) =>
    inspect(file, (db) => db.prepare('SELECT handouts FROM attempts WHERE task_id = ?').pluck().get(id))
  expect(handouts(first.file)).toBe(2)
  await first.stop()
  const second = await startService({ database_path: first.file }, time)
  expect(await second.poll('node-1')).toMatchObject({ task_id: id, attempt: 1 })
  expect(handouts(second.file)).toBe(2)
})

test('a task that was skipped by the only node that serves it is given to it again after a pause, as another attempt', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('node-1')
  const id = await service.submit()
  for (const attempt of [1, 2, 3]) {
    await skip(service, time, 'node-1', { task_id: id, attempt })
    expect(await service.poll('node-1')).toBeNull()
    await time.pass(service, 10)
  }
  expect(await service.status(id)).toMatchObject({ status: 'failed', attempts: 3 })
})

test('a result that comes after the attempt was skipped five times is still taken', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('node-1')
  await service.register('node-2')
  const id = await service.submit()
  await skip(service, time, 'node-1', { task_id: id, attempt: 1 })
  expect(await service.poll('node-1')).toBeNull()
  expect(await service.poll('node-2')).toMatchObject({ task_id: id, attempt: 2 })
  expect((await complete(service, 'node-1', id, { output: 'late' })).status).toBe(200)
  expect(await service.status(id)).toMatchObject({
    status: 'completed',
    result: { output: 'late', inference_node_id: 'node-1' },
  })
  expect((await complete(service, 'node-2', id, { output: 'later' })).status).toBe(409)
  expect(await nodeOf(service, 'node-2')).toMatchObject({ in_progress_tasks: 0, status: 'online' })
})

test('a node with more slots gets a task for each, and then again the oldest one it holds', async () => {
  const service = await startService()
  await service.register('node-1', { max_concurrent_tasks: 3 })
  const ids: string[] = []
  for (let i = 0; i < 4; i++) ids.push(await service.submit())
  for (const id of ids.slice(0, 3)) expect(await service.poll('node-1')).toMatchObject({ task_id: id })
  expect(await service.poll('node-1')).toMatchObject({ task_id: ids[0], attempt: 1 })
  await complete(service, 'node-1', ids[0] ?? '')
  expect(await service.poll('node-1')).toMatchObject({ task_id: ids[3], attempt: 1 })
  expect(await service.poll('node-1')).toMatchObject({ task_id: ids[1], attempt: 1 })
})

test('a node that says what it has is answered first what it misses', async () => {
  const service = await startService()
  await service.register('node-1', { max_concurrent_tasks: 3 })
  const [a, b, c] = [await service.submit(), await service.submit(), await service.submit()]
  await service.poll('node-1')
  await service.poll('node-1')
  expect(await service.poll('node-1', [a])).toMatchObject({ task_id: b, attempt: 1 })
  expect(await service.poll('node-1', [])).toMatchObject({ task_id: a, attempt: 1 })
  expect(await service.poll('node-1', ['unknown', b])).toMatchObject({ task_id: a, attempt: 1 })
  expect(await service.poll('node-1', [b, a])).toMatchObject({ task_id: c, attempt: 1 })
  expect(await service.poll('node-1', [c, b, a])).toBeNull()
  expect(await service.poll('node-1', [c, a])).toMatchObject({ task_id: b, attempt: 1 })
})

test('a node that names what it has is never handed it again, so that it does not run out of handouts', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  for (let i = 0; i < 10; i++) expect(await service.poll('node-1', [id])).toBeNull()
  expect((await complete(service, 'node-1', id)).status).toBe(200)
  expect(await service.status(id)).toMatchObject({ attempts: 1 })
})
