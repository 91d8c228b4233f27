import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { complete, nodeOf } from '../support/rest-calls.js'
import { inspect, startService } from '../support/service.js'

test('an attempt that outlives max_infer_time on a node that has been silent for longer than node_timeout is queued again', async () => {
  const time = fakeTime()
  const service = await startService({ node_timeout: 10 }, time)
  await service.register('node-1')
  const id = await service.submit({ max_infer_time: 30 })
  await service.poll('node-1')
  expect(await time.until(service, service.reaches(id, 'pending'))).toMatchObject({
    attempts: 1,
    error: null,
    result: null,
  })
  expect((await nodeOf(service, 'node-1'))?.status).toBe('offline')
  expect(inspect(service.file, (db) => db.prepare('SELECT end FROM attempts WHERE task_id = ?').pluck().get(id))).toBe(
    'lost',
  )
  await service.register('node-2')
  expect(await service.poll('node-2')).toMatchObject({ task_id: id, attempt: 2 })
  // It comes back with the result after all: the first valid one wins.
  expect((await complete(service, 'node-1', id, { output: 'late' })).status).toBe(200)
  expect(await service.status(id)).toMatchObject({
    status: 'completed',
    attempts: 2,
    result: { output: 'late', inference_node_id: 'node-1' },
  })
})

test('an attempt that outlives max_infer_time on a node that is heard of is a timeout', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('node-1')
  const id = await service.submit({ max_infer_time: 30 })
  await service.poll('node-1')
  expect(await time.until(service, service.reaches(id, 'timeout'))).toMatchObject({
    attempts: 1,
    error: expect.stringMatching(/max_infer_time/),
    result: null,
  })
  expect((await complete(service, 'node-1', id)).status).toBe(409)
  expect(await nodeOf(service, 'node-1')).toMatchObject({ status: 'online', in_progress_tasks: 0 })
  expect(await service.poll('node-1')).toBeNull()
})

test('a lease from a poll survives a restart of the service', async () => {
  const first = await startService()
  await first.register('node-1')
  const id = await first.submit()
  await first.poll('node-1')
  await first.stop()
  const second = await startService({ database_path: first.file })
  expect(await nodeOf(second, 'node-1')).toMatchObject({ status: 'busy', in_progress_tasks: 1 })
  expect(await second.poll('node-1')).toMatchObject({ task_id: id, attempt: 1 })
  expect((await complete(second, 'node-1', id)).status).toBe(200)
  expect(await second.status(id)).toMatchObject({ status: 'completed', attempts: 1 })
})
