import { expect, test } from 'vitest'
import { connectNode } from '../support/node-session.js'
import { complete, detailOf, drain, fail, forget, nodeOf, nodesOf, statsOf } from '../support/rest-calls.js'
import { inspect, startService } from '../support/service.js'

test('a forgotten node in session is closed with 1000 and is in no list', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  expect(await forget(service, 'n')).toMatchObject({ status: 200, body: { data: 'Node forgotten' } })
  expect(await node.closed).toMatchObject({ code: 1000 })
  expect(await nodesOf(service)).toEqual([])
  expect(await statsOf(service)).toMatchObject({ total_nodes: 0, online_nodes: 0 })
  expect(inspect(service.file, (db) => db.prepare('SELECT node_id FROM inference_nodes').all())).toEqual([])
  expect((await forget(service, 'n')).status).toBe(404)
  await service.submit({ task_id: 'a' })
  expect((await detailOf(service, 'a')).waiting).toMatchObject({ reason: 'no_node_for_model' })
})

test('a forgotten node that polls is unknown until it registers again', async () => {
  const service = await startService()
  await service.register('n')
  await forget(service, 'n')
  expect(await service.get('/api/v1/nodes/n/tasks')).toMatchObject({
    status: 404,
    body: { code: 'node_not_registered' },
  })
  expect((await service.post('/api/v1/nodes/heartbeat', { node_id: 'n', status: 'online' })).status).toBe(404)
  expect((await service.register('n')).status).toBe(200)
})

test('a node that holds a task is not forgotten: 409', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  const assigned = await node.next('task.assign')
  expect(await forget(service, 'n')).toMatchObject({
    status: 409,
    body: { code: 'conflict', error: expect.stringContaining('drain') },
  })
  await node.beat()
  node.complete(assigned)
  expect(await node.next('task.settled')).toMatchObject({ status: 'completed' })
  expect((await forget(service, 'n')).status).toBe(200)
  expect(await detailOf(service, 'a')).toMatchObject({ status: 'completed', attempts: [{ node_id: 'n' }] }) // history stays
})

test('a forgotten node that comes back with its key starts with a clean slate', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  first.say({ type: 'task.fail', task_id: 'a', attempt: 1, error: 'x', retryable: true })
  await first.next('task.settled')
  await drain(service, 'n')
  expect(await nodeOf(service, 'n')).toMatchObject({ failures_in_row: 1, success_rate: 0, drained: true })
  await forget(service, 'n')
  await first.closed
  await connectNode(service, 'n')
  expect(await nodeOf(service, 'n')).toMatchObject({
    status: 'busy', // it has the task again
    drained: false,
    probation: false,
    failures_in_row: 0,
    success_rate: null,
  })
})

test('in the name of a forgotten node nobody completes what it once held', async () => {
  const service = await startService({ max_attempts: 5 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  node.accept(await node.next('task.assign'))
  await node.beat('maintenance')
  node.close() // gives it back
  await node.closed
  await service.reaches('a', 'pending')
  await forget(service, 'n')
  expect((await complete(service, 'n', 'a')).status).toBeGreaterThanOrEqual(400)
  expect((await fail(service, 'n', 'a', { retryable: false })).status).toBeGreaterThanOrEqual(400)
  expect(await service.status('a')).toMatchObject({ status: 'pending', result: null })
})

test('a forgotten node stays forgotten over a restart', async () => {
  const service = await startService()
  await service.register('n')
  await service.register('m')
  await forget(service, 'n')
  await service.stop()
  const again = await startService({ database_path: service.file })
  expect((await nodesOf(again)).map((n: { node_id: string }) => n.node_id)).toEqual(['m'])
})

test('forgotten nodes make room for others', async () => {
  const service = await startService({ max_nodes: 1 })
  await service.register('n')
  expect((await service.register('m')).status).toBe(503)
  await forget(service, 'n')
  expect((await service.register('m')).status).toBe(200)
})
