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
import { fakeTime } from '../support/fake-time.js'
import { detailOf } from '../support/rest-calls.js'
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
  const back = await connectNode(service, 'lost', { take_over: true }) // and does not name it
  expect(await assignsSoFar(back)).toEqual([])
  expect(await service.status('A')).toMatchObject({ status: 'pending', attempts: 1 })
  full.complete(busy)
  expect(await nextAssign(full, 'A')).toMatchObject({ attempt: 2 })
})

test('a task that every node has lost or failed is given to one of them again', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const { first, second, now } = await movedTask(service)
  fail(second, now)
  await nextSettled(second, 'A')
  await time.pass(service, 5)
  expect([...(await assignsSoFar(first)), ...(await assignsSoFar(second))]).toEqual(['A'])
})

test('when the only other node leaves, the node that failed the task gets it again', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  await nextAssign(full, 'busy')
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await nextAssign(bad, 'A'))
  expect(await nextSettled(bad, 'A')).toMatchObject({ status: 'pending' })
  expect(await assignsSoFar(bad)).toEqual([])
  full.socket.terminate()
  expect(await time.until(service, nextAssign(bad, 'A'))).toMatchObject({ attempt: 2 })
})

test.each<[string, (node: TestNode) => void]>([
  ['goes into maintenance', (node) => node.say({ type: 'node.heartbeat', status: 'maintenance' })],
  ['drains', (node) => node.say({ type: 'session.drain' })],
])('when the only other node %s, the node that failed the task gets it again', async (_, leave) => {
  const time = fakeTime()
  const service = await startService({}, time)
  const full = await connectNode(service, 'full')
  await service.submit({ task_id: 'busy' })
  await nextAssign(full, 'busy')
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await nextAssign(bad, 'A'))
  expect(await nextSettled(bad, 'A')).toMatchObject({ status: 'pending' })
  expect(await assignsSoFar(bad)).toEqual([])
  leave(full)
  expect(await time.until(service, nextAssign(bad, 'A'))).toMatchObject({ attempt: 2 })
})

test('a node of another model does not keep a task from the one that failed it', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await connectNode(service, 'other', { supported_models: ['gemma'] })
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await nextAssign(bad, 'A'))
  expect(await time.until(service, nextAssign(bad, 'A'))).toMatchObject({ attempt: 2 })
})

test('the only node gets a task again 5, 10 and 20 seconds after it failed it, and other tasks meanwhile', async () => {
  const time = fakeTime()
  const service = await startService({ max_attempts: 5 }, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  for (const [attempt, pause] of [5, 10, 20, 20].entries()) {
    const a = await nextAssign(node, 'A')
    expect(a.attempt).toBe(attempt + 1)
    // Three failures in a row would be a cooldown: a success in between keeps it away.
    fail(node, a)
    await nextSettled(node, 'A')
    await service.submit({ task_id: `other-${attempt}` })
    node.complete(await nextAssign(node, `other-${attempt}`))
    await nextSettled(node, `other-${attempt}`)
    await time.pass(service, pause - 1)
    expect(await assignsSoFar(node)).toEqual([])
    expect((await detailOf(service, 'A')).waiting).toMatchObject({ reason: 'next' })
    await time.pass(service, 1)
  }
  expect(await nextAssign(node, 'A')).toMatchObject({ attempt: 5 })
})

test('a pause after a failure keeps no other node from the task', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const bad = await connectNode(service, 'bad')
  await service.submit({ task_id: 'A' })
  fail(bad, await nextAssign(bad, 'A'))
  await nextSettled(bad, 'A')
  const other = await connectNode(service, 'other')
  expect(await nextAssign(other, 'A')).toMatchObject({ attempt: 2 })
})

test('the only node gets back at once what it lost through no fault of its own, and later what it lost by its own', async () => {
  const time = fakeTime()
  const service = await startService({ reconnect_grace: 5, max_attempts: 9 }, time)
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'A', max_infer_time: 3600 })
  first.accept(await nextAssign(first, 'A'))
  await first.beat()
  first.socket.terminate()
  await time.until(service, service.reaches('A', 'pending'))
  const second = await connectNode(service, 'n')
  second.accept(await nextAssign(second, 'A')) // the network had lost it
  await second.beat()
  second.close() // the node gives it back
  await second.closed
  await service.reaches('A', 'pending')
  const third = await connectNode(service, 'n')
  expect(await assignsSoFar(third)).toEqual([])
  expect(await time.until(service, nextAssign(third, 'A'))).toMatchObject({ attempt: 3 })
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
