import { expect, test } from 'vitest'
import { beginTask, connectNode, nextAssign, nextSettled } from '../support/node-session.js'
import { nodeIs } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

test('a node that drains and holds nothing is closed with 1000', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.say({ type: 'session.drain' })
  expect((await node.closed).code).toBe(1000)
  await nodeIs(service, 'n', 'offline')
})

test('a node that drains finishes what it holds, gets nothing new, and is closed with 1000 after the last answer', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 3 })
  const a = await beginTask(service, node, 'A')
  const b = await beginTask(service, node, 'B')
  node.say({ type: 'session.drain' })
  await node.beat()
  await service.submit({ task_id: 'C' })
  await node.beat()
  node.complete(a)
  await nextSettled(node, 'A')
  await node.beat()
  expect(node.inbox).toEqual([])
  node.complete(b)
  expect((await node.closed).code).toBe(1000)
  expect(node.inbox).toMatchObject([{ type: 'task.settled', task_id: 'B', status: 'completed' }])
  expect(await service.status('C')).toMatchObject({ status: 'pending' })
})

test('a draining node that fails or rejects its last task is closed with 1000 and the task goes on', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  const a = await beginTask(service, node, 'A')
  await service.submit({ task_id: 'B' })
  const b = await nextAssign(node, 'B')
  node.say({ type: 'session.drain' })
  node.say({ type: 'task.reject', task_id: 'B', attempt: b.attempt, reason: 'I leave' })
  node.say({ type: 'task.fail', task_id: 'A', attempt: a.attempt, error: 'I leave', retryable: true })
  expect((await node.closed).code).toBe(1000)
  expect(node.inbox).toMatchObject([{ type: 'task.settled', task_id: 'A', status: 'pending' }])
  const other = await connectNode(service, 'other', { max_concurrent_tasks: 2 })
  await nextAssign(other, 'A')
  await nextAssign(other, 'B')
})

test('a draining node whose last task is superseded is closed with 1000', async () => {
  const service = await startService()
  const first = await connectNode(service, 'first')
  const old = await beginTask(service, first, 'A')
  const second = await connectNode(service, 'second')
  const back = await connectNode(service, 'first', { take_over: true }) // without A
  second.accept(await nextAssign(second, 'A'))
  second.say({ type: 'session.drain' })
  await second.beat()
  back.complete(old)
  expect((await second.closed).code).toBe(1000)
  expect(second.inbox).toMatchObject([{ type: 'task.cancel', task_id: 'A', reason: 'superseded' }])
})
