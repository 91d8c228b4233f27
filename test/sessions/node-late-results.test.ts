import { expect, test } from 'vitest'
import {
  assignsSoFar,
  attemptOf,
  connectNode,
  fail,
  movedTask,
  nextAssign,
  nextSettled,
  reject,
  type TestNode,
} from '../support/node-session.js'
import { attemptsOf, startService } from '../support/service.js'

test('a result of a task that was taken back is taken while another node works on it, which is told to stop', async () => {
  const service = await startService()
  const { first, old, second, now } = await movedTask(service)
  await service.submit({ task_id: 'B' })
  await nextAssign(first, 'B')
  await service.submit({ task_id: 'C' })
  first.complete(old, 'late, and good')
  expect(await nextSettled(first, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await second.next('task.cancel')).toEqual({
    type: 'task.cancel',
    task_id: 'A',
    attempt: 2,
    reason: 'superseded',
  })
  await nextAssign(second, 'C') // its slot is free again
  second.complete(now, 'second')
  expect(await second.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 2 })
  expect(await service.status('A')).toMatchObject({
    status: 'completed',
    result: { output: 'late, and good', inference_node_id: 'first' },
  })
  expect(attemptsOf(service, 'A').map((a) => a.end)).toEqual(['completed', 'superseded'])
})

test('a result of a task that waits again is taken', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await nextAssign(node, 'A')
  node.accept(a)
  await node.beat()
  node.socket.terminate()
  const back = await connectNode(service, 'n', { status: 'maintenance' })
  expect(await service.status('A')).toMatchObject({ status: 'pending' })
  back.complete(a, 'it was there already')
  expect(await nextSettled(back, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  await back.beat('online')
  expect(await assignsSoFar(back)).toEqual([])
  expect(await service.status('A')).toMatchObject({
    status: 'completed',
    attempts: 1,
    result: { output: 'it was there already' },
  })
  expect(await service.get('/api/v1/stats')).toMatchObject({ body: { data: { pending_tasks: 0, completed_tasks: 1 } } })
})

test('a node that was given the same task again may complete it with its earlier attempt', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const old = await nextAssign(node, 'A')
  node.accept(old)
  await node.beat()
  node.socket.terminate()
  const back = await connectNode(service, 'n')
  await nextAssign(back, 'A')
  back.complete(old, 'from the first attempt')
  expect(await nextSettled(back, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await back.next('task.cancel')).toMatchObject({ task_id: 'A', attempt: 2, reason: 'superseded' })
  await service.submit({ task_id: 'B' })
  await nextAssign(back, 'B')
})

test('the first valid result wins and the later one is stale', async () => {
  const service = await startService()
  const { first, old, second, now } = await movedTask(service)
  second.complete(now, 'in time')
  expect(await nextSettled(second, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
  first.complete(old, 'late')
  expect(await first.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
  expect(await service.status('A')).toMatchObject({ result: { output: 'in time', inference_node_id: 'second' } })
})

test('a result after the task has failed is stale and changes nothing', async () => {
  const service = await startService({ max_attempts: 1 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await nextAssign(node, 'A')
  fail(node, a)
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'failed' })
  node.complete(a)
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
  expect(await service.status('A')).toMatchObject({ status: 'failed', result: null })
})

test.each<[string, (node: TestNode, a: { task_id: string; attempt: number }) => void]>([
  ['accept', (node, a) => node.accept(a)],
  ['output', (node, a) => node.say({ type: 'task.output', ...attemptOf(a), seq: 0, delta: 'x' })],
  ['fail', (node, a) => fail(node, a)],
  ['fail that is not retryable', (node, a) => fail(node, a, false)],
  ['reject', (node, a) => reject(node, a)],
])('of an attempt that is no longer held an %s is stale and changes nothing', async (_, say) => {
  const service = await startService()
  const { first, old, second, now } = await movedTask(service)
  say(first, old)
  expect(await first.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 2 })
  second.complete(now)
  expect(await nextSettled(second, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
})

test.each<[string, (node: TestNode, a: { task_id: string; attempt: number }) => void]>([
  ['accept', (node, a) => node.accept(a)],
  ['reject', (node, a) => reject(node, a)],
  ['output', (node, a) => node.say({ type: 'task.output', ...attemptOf(a), seq: 0, delta: 'x' })],
  ['complete', (node, a) => node.complete(a)],
  ['fail', (node, a) => fail(node, a)],
])('%s of an attempt that the node never held is not_holder and changes nothing', async (_, say) => {
  const service = await startService()
  const owner = await connectNode(service, 'owner')
  await service.submit({ task_id: 'A' })
  const a = await nextAssign(owner, 'A')
  const other = await connectNode(service, 'other')
  for (const wrong of [attemptOf(a), { task_id: 'A', attempt: 2 }, { task_id: 'no such task', attempt: 1 }]) {
    say(other, wrong)
    expect(await other.next('error')).toMatchObject({ code: 'not_holder', message: expect.any(String), ...wrong })
  }
  say(owner, { task_id: 'A', attempt: 2 })
  expect(await owner.next('error')).toMatchObject({ code: 'not_holder', task_id: 'A', attempt: 2 })
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 0, result: null })
  owner.complete(a)
  expect(await nextSettled(owner, 'A')).toMatchObject({ status: 'completed' })
})

test('such answers are no mistakes that end the session', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  for (let i = 0; i < 30; i++) {
    node.accept({ task_id: 'none', attempt: 1 })
    await node.next('error')
  }
  await node.beat()
})
