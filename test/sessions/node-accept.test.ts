import { expect, test } from 'vitest'
import type { Assignment } from '../../src/wire/node.js'
import { fakeTime } from '../support/fake-time.js'
import {
  attemptOf,
  connectNode,
  fail,
  nextAssign,
  nextSettled,
  reject,
  type TestNode,
} from '../support/node-session.js'
import { attemptsOf, startService } from '../support/service.js'

test('an accept begins the attempt', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await nextAssign(node, 'A')
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 0 })
  node.accept(a)
  node.accept(a) // harmless
  await node.beat()
  expect(node.inbox).toEqual([])
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 1 })
})

test('an assignment that is not answered in time is cancelled, and the node gets nothing new until it sends a heartbeat', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 30 }, time)
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'A', max_infer_time: 80_000 })
  const first = await nextAssign(node, 'A')
  expect(await time.until(service, node.next('task.cancel'))).toEqual({
    type: 'task.cancel',
    task_id: 'A',
    attempt: 1,
    reason: 'timeout',
  })
  await service.submit({ task_id: 'B' })
  node.say({ type: 'task.dance' }) // a sign of life, and no heartbeat
  await node.next('error')
  expect(node.inbox).toEqual([])
  expect(await service.status('A')).toMatchObject({ status: 'pending', attempts: 0 })
  expect(await service.status('B')).toMatchObject({ status: 'pending' })
  node.accept(first)
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
  node.say({ type: 'node.heartbeat' })
  expect(await nextAssign(node, 'A')).toMatchObject({ attempt: 2 })
  await nextAssign(node, 'B')
})

test('an assignment that was accepted in time is not cancelled when accept_timeout is over', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 30 }, time)
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'A', max_infer_time: 80_000 })
  node.accept(await nextAssign(node, 'A'))
  await node.beat()
  await service.submit({ task_id: 'B', max_infer_time: 80_000 })
  await nextAssign(node, 'B')
  expect(await time.until(service, node.next('task.cancel'))).toMatchObject({ task_id: 'B' })
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 1 })
})

test('an assignment that is not answered goes to another node, and neither counts as an attempt nor as lost', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 30, max_attempts: 1 }, time)
  const mute = await connectNode(service, 'mute')
  await service.submit({ task_id: 'A', max_infer_time: 80_000 })
  await nextAssign(mute, 'A')
  const other = await connectNode(service, 'other', { status: 'maintenance' })
  await time.until(service, mute.next('task.cancel'))
  await other.beat('online')
  const second = await nextAssign(other, 'A')
  expect(second.attempt).toBe(2)
  // Given back once more, it may go to the mute node again, although another one serves it: that node has not lost it.
  await mute.beat()
  reject(other, second)
  expect(await nextAssign(mute, 'A')).toMatchObject({ attempt: 3 })
  expect(await service.status('A')).toMatchObject({ attempts: 0 })
})

test('an assignment that was not accepted when the session ended goes back when accept_timeout is over, before the grace', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 30, reconnect_grace: 50_000 }, time)
  const gone = await connectNode(service, 'gone')
  await service.submit({ task_id: 'A', max_infer_time: 80_000 })
  await nextAssign(gone, 'A')
  gone.socket.terminate()
  const other = await connectNode(service, 'other')
  expect(await time.until(service, nextAssign(other, 'A'))).toMatchObject({ attempt: 2 })
  expect(attemptsOf(service, 'A')[0]).toMatchObject({ node_id: 'gone', end: 'unaccepted' })
})

test('an assignment that was not accepted when the session ended goes back when the grace is over, before accept_timeout', async () => {
  const time = fakeTime()
  const service = await startService({ accept_timeout: 3_600, reconnect_grace: 30 }, time)
  const gone = await connectNode(service, 'gone')
  await service.submit({ task_id: 'A', max_infer_time: 80_000 })
  await nextAssign(gone, 'A')
  gone.socket.terminate()
  const other = await connectNode(service, 'other')
  expect(await time.until(service, nextAssign(other, 'A'))).toMatchObject({ attempt: 2 })
  expect(attemptsOf(service, 'A')[0]).toMatchObject({ node_id: 'gone', end: 'unaccepted' })
})

test('a rejected task goes to another node at once and no attempt is counted', async () => {
  const service = await startService({ max_attempts: 1 })
  const picky = await connectNode(service, 'picky')
  await service.submit({ task_id: 'A' })
  const other = await connectNode(service, 'other')
  reject(picky, await nextAssign(picky, 'A'))
  const second = await nextAssign(other, 'A')
  expect(second.attempt).toBe(2)
  expect(await service.status('A')).toMatchObject({ status: 'in_progress', attempts: 0 })
  other.complete(second)
  expect(await nextSettled(other, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
})

test('who rejected a task is not offered it again for 30 seconds, then 60, and other tasks at once', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A', infer_fee: 9_000_000 })
  reject(node, await nextAssign(node, 'A'))
  await service.submit({ task_id: 'B', infer_fee: 1 })
  node.complete(await nextAssign(node, 'B'))
  await nextSettled(node, 'B')
  const pause = async (): Promise<number> => {
    const from = time.monotonic()
    const again = await time.until(service, nextAssign(node, 'A'))
    const seconds = (time.monotonic() - from) / 1000
    reject(node, again)
    await node.beat()
    return seconds
  }
  const first = await pause()
  const second = await pause()
  expect(first).toBeGreaterThan(25) // what happened before the clock was read is part of it
  expect(second).toBeGreaterThan(55)
  expect(attemptsOf(service, 'A').map((a) => a.end)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(await service.status('A')).toMatchObject({ status: 'pending', attempts: 0 })
})

test('a reject of an attempt that is no longer held is stale', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await nextAssign(node, 'A')
  reject(node, a)
  reject(node, a)
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'A', attempt: 1 })
})

test.each<[string, (node: TestNode, a: Assignment) => void, { status: string; attempts: number }]>([
  [
    'output',
    (node, a) => node.say({ type: 'task.output', ...attemptOf(a), seq: 0, delta: 'Pa' }),
    { status: 'in_progress', attempts: 1 },
  ],
  ['complete', (node, a) => node.complete(a), { status: 'completed', attempts: 1 }],
  ['a fail that is not retryable', (node, a) => fail(node, a, false), { status: 'failed', attempts: 1 }],
])('%s implies the accept', async (_, say, expected) => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  say(node, await nextAssign(node, 'A'))
  await node.beat()
  expect(await service.status('A')).toMatchObject(expected)
})

test('a retryable fail implies the accept and counts as an attempt', async () => {
  const service = await startService({ max_attempts: 1 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  fail(node, await nextAssign(node, 'A'))
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'failed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
})
