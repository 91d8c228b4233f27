import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { beginTask, connectNode, nextAssign, nextSettled } from '../support/node-session.js'
import { drain } from '../support/rest-calls.js'
import { type Service, startService } from '../support/service.js'

test('an attempt that outlives max_infer_time is cancelled and the task is timeout', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'long', max_infer_time: 10_000 })
  await service.submit({ task_id: 'short', max_infer_time: 20 })
  for (const task_id of ['long', 'short']) node.accept(await nextAssign(node, task_id))
  await node.beat()
  expect(await time.until(service, node.next('task.cancel'))).toEqual({
    type: 'task.cancel',
    task_id: 'short',
    attempt: 1,
    reason: 'timeout',
  })
  expect(await service.status('short')).toMatchObject({
    status: 'timeout',
    attempts: 1,
    error: expect.stringContaining('max_infer_time'),
    result: null,
  })
  expect(await service.status('long')).toMatchObject({ status: 'in_progress' })
  await service.submit({ task_id: 'next' })
  await nextAssign(node, 'next') // its slot is free again
  node.complete({ task_id: 'short', attempt: 1 })
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'short' })
})

test('before timeout_attempts the task goes to another node, and then it is timeout', async () => {
  const time = fakeTime()
  const service = await startService({}, time) // the default: 2
  const one = await connectNode(service, 'one')
  await service.submit({ task_id: 'A', max_infer_time: 60 })
  const first = await nextAssign(one, 'A')
  one.accept(first)
  const other = await connectNode(service, 'other')
  const second = await time.until(service, nextAssign(other, 'A'))
  expect(await one.next('task.cancel')).toMatchObject({ attempt: 1, reason: 'timeout' })
  expect(second.attempt).toBe(2)
  expect(second.lease_expires_at).toBeGreaterThan(first.lease_expires_at)
  other.accept(second)
  await other.beat()
  expect(await time.until(service, other.next('task.cancel'))).toMatchObject({ attempt: 2, reason: 'timeout' })
  expect(await service.status('A')).toMatchObject({ status: 'timeout', attempts: 2 })
})

test.each<[string, Record<string, unknown>, ((service: Service) => Promise<unknown>)?]>([
  ['is in maintenance', { status: 'maintenance' }],
  ['serves other models', { supported_models: ['gemma'] }],
  ['was drained by an operator', {}, (service) => drain(service, 'other')],
])('a task whose only other node %s is timeout after its first timeout', async (_, how, then) => {
  const time = fakeTime()
  const service = await startService({ timeout_attempts: 5 }, time)
  await connectNode(service, 'other', how)
  await then?.(service)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A', max_infer_time: 20 })
  node.accept(await nextAssign(node, 'A'))
  await time.until(service, node.next('task.cancel'))
  expect(await service.status('A')).toMatchObject({ status: 'timeout', attempts: 1 })
})

test('a task that timed out on one node goes to another', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const slow = await connectNode(service, 'slow')
  await service.submit({ task_id: 'A', max_infer_time: 60 })
  slow.accept(await nextAssign(slow, 'A'))
  const other = await connectNode(service, 'other')
  expect(await time.until(service, nextAssign(other, 'A'))).toMatchObject({ attempt: 2 })
})

test('a late result of an attempt that timed out is taken while the task is queued again', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const full = await connectNode(service, 'full')
  await beginTask(service, full, 'other')
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A', max_infer_time: 20 })
  const a = await nextAssign(node, 'A')
  node.accept(a)
  await time.until(service, node.next('task.cancel'))
  expect(await service.status('A')).toMatchObject({ status: 'pending' })
  node.complete(a, 'late')
  expect(await nextSettled(node, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
})

test('max_infer_time runs from the assignment', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'A', max_infer_time: 40 })
  const a = await nextAssign(node, 'A')
  await time.pass(service, 30)
  node.accept(a)
  await service.submit({ task_id: 'B', max_infer_time: 40 })
  node.accept(await nextAssign(node, 'B'))
  await time.until(service, node.next('task.cancel', { task_id: 'A' }))
  expect(await service.status('B')).toMatchObject({ status: 'in_progress' })
})

test('an attempt that nobody accepted is no timeout of the task', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 300 }, time)
  const mute = await connectNode(service, 'mute')
  await service.submit({ task_id: 'A', max_infer_time: 20 })
  await nextAssign(mute, 'A')
  expect(await time.until(service, mute.next('task.cancel'))).toMatchObject({ reason: 'timeout' })
  expect(await service.status('A')).toMatchObject({ status: 'pending', attempts: 0 })
})

test.each([
  ['forward', 7_200_000],
  ['back', -7_200_000],
])('when the wall clock jumps %s the deadlines stay where they were', async (_, jump) => {
  const time = fakeTime()
  let jumped = 0
  const service = await startService(
    { max_queue_time: 600 },
    { wall: () => time.wall() + jumped, monotonic: time.monotonic },
  )
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  for (const [task_id, max_infer_time] of [
    ['long', 600],
    ['short', 30],
    ['waits', 30],
  ] as const)
    await service.submit({ task_id, max_infer_time })
  for (const task_id of ['long', 'short']) node.accept(await nextAssign(node, task_id))
  await node.beat()
  jumped = jump
  await time.pass(service, 5)
  expect(node.inbox).toEqual([])
  // The same look at the deadlines that ends the short one has left the others alone.
  expect(await time.until(service, node.next('task.cancel'))).toMatchObject({ task_id: 'short' })
  expect(await service.status('long')).toMatchObject({ status: 'in_progress' })
  expect(await nextAssign(node, 'waits')).toMatchObject({ attempt: 1 })
})
