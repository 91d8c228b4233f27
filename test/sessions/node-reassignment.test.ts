import { expect, test } from 'vitest'
import {
  assignsSoFar,
  connectNode,
  fail,
  movedTask,
  nextAssign,
  nextSettled,
  type TestNode,
} from '../support/node-session.js'
import { inspect, startService } from '../support/service.js'
import { until } from '../support/wait.js'

test('a task is not given again to the node that failed it while another serves it, even a full one', async () => {
  const service = await startService()
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  const busy = await nextAssign(full, 'busy')
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await nextAssign(bad, 'A'))
  expect(await nextSettled(bad, 'A')).toMatchObject({ status: 'pending' })
  await service.submit({ task_id: 'B', infer_fee: 1 })
  await nextAssign(bad, 'B') // it is free, and passes over A
  expect(await service.status('A')).toMatchObject({ status: 'pending' })
  full.complete(busy)
  expect(await nextAssign(full, 'A')).toMatchObject({ attempt: 2 })
})

test('a task is not given again to the node that lost it while another serves it, even a full one', async () => {
  const service = await startService()
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  const busy = await nextAssign(full, 'busy')
  const lost = await connectNode(service, 'lost')
  await service.submit({ task_id: 'A' })
  lost.accept(await nextAssign(lost, 'A'))
  await lost.beat()
  const back = await connectNode(service, 'lost') // and does not name it
  expect(await assignsSoFar(back)).toEqual([])
  expect(await service.status('A')).toMatchObject({ status: 'pending', attempts: 1 })
  full.complete(busy)
  expect(await nextAssign(full, 'A')).toMatchObject({ attempt: 2 })
})

test('a task that every node has lost or failed is given to one of them again', async () => {
  const service = await startService()
  const { first, second, now } = await movedTask(service)
  fail(second, now)
  await nextSettled(second, 'A')
  expect([...(await assignsSoFar(first)), ...(await assignsSoFar(second))]).toEqual(['A'])
})

test('when the only other node leaves, the node that failed the task gets it again', async () => {
  const service = await startService()
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  await nextAssign(full, 'busy')
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await nextAssign(bad, 'A'))
  expect(await nextSettled(bad, 'A')).toMatchObject({ status: 'pending' })
  expect(await assignsSoFar(bad)).toEqual([])
  full.socket.terminate()
  expect(await nextAssign(bad, 'A')).toMatchObject({ attempt: 2 })
})

test.each<[string, (node: TestNode) => void]>([
  ['goes into maintenance', (node) => node.say({ type: 'node.heartbeat', status: 'maintenance' })],
  ['drains', (node) => node.say({ type: 'session.drain' })],
])('when the only other node %s, the node that failed the task gets it again', async (_, leave) => {
  const service = await startService()
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  await nextAssign(full, 'busy')
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await nextAssign(bad, 'A'))
  expect(await nextSettled(bad, 'A')).toMatchObject({ status: 'pending' })
  expect(await assignsSoFar(bad)).toEqual([])
  leave(full)
  expect(await nextAssign(bad, 'A')).toMatchObject({ attempt: 2 })
})

test('a node of another model does not keep a task from the one that failed it', async () => {
  const service = await startService()
  await connectNode(service, 'other', { supported_models: ['gemma'] })
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await nextAssign(bad, 'A'))
  expect(await nextAssign(bad, 'A')).toMatchObject({ attempt: 2 })
})

test('a thousand tasks over three nodes are each completed once', async () => {
  const service = await startService()
  const nodes = []
  for (const name of ['a', 'b', 'c']) {
    const node = await connectNode(service, name, { max_concurrent_tasks: 16, batch: true })
    node.socket.on('message', () => {
      for (const m of node.inbox.splice(0)) {
        if (m.type === 'task.assign') node.complete(m, name)
        else if (m.type !== 'task.settled') throw new Error(`unexpected ${m.type}`)
      }
    })
    nodes.push(node)
  }
  const tasks = Array.from({ length: 1000 }, (_, i) => ({
    user_address: 'u',
    user_input: `${i}`,
    infer_fee: 1,
    max_infer_time: 600,
    model_name: 'llama',
  }))
  await service.post('/api/v1/tasks/batch', { tasks })
  await until(
    async () =>
      ((await service.get('/api/v1/stats')).body?.data as { completed_tasks: number }).completed_tasks === 1000,
    '1000 results',
  )
  expect(
    inspect(service.file, (db) =>
      db.prepare('SELECT count(*) AS n, count(DISTINCT task_id) AS tasks FROM attempts').get(),
    ),
  ).toEqual({ n: 1000, tasks: 1000 })
})
