import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { connectNode } from '../support/node-session.js'
import { cancel, complete, detailOf, fail, retry, statsOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

test('a failed task that is retried goes on with its attempt numbers, and counts its attempts anew', async () => {
  const time = fakeTime()
  const service = await startService({ max_attempts: 2 }, time)
  await service.register('n')
  await service.submit({ task_id: 'a' })
  for (let i = 0; i < 2; i++) {
    expect((await service.poll('n')).task_id).toBe('a')
    await fail(service, 'n', 'a')
    if (i === 0) await time.pass(service, 5)
  }
  expect(await service.status('a')).toMatchObject({
    status: 'failed',
    error: expect.stringContaining('gave up after 2 attempts'),
  })
  expect(await retry(service, 'a')).toMatchObject({ status: 200, body: { data: 'Task queued again' } })
  expect(await service.status('a')).toMatchObject({ status: 'pending', error: null, attempts: 2 })
  expect(await service.poll('n')).toMatchObject({ task_id: 'a', attempt: 3 }) // at once: what was before counts no more
  await fail(service, 'n', 'a')
  expect(await service.status('a')).toMatchObject({ status: 'pending' }) // one of two
  // Its own node rests after three failures; another one goes on.
  await service.register('m')
  expect(await service.poll('m')).toMatchObject({ task_id: 'a', attempt: 4 })
  await complete(service, 'm', 'a')
  const detail = await detailOf(service, 'a')
  expect(detail.attempts.map((a: { attempt: number; end: string }) => [a.attempt, a.end])).toEqual([
    [1, 'failed'],
    [2, 'failed'],
    [3, 'failed'],
    [4, 'completed'],
  ])
  expect(detail).toMatchObject({
    status: 'completed',
    error: null,
    earlier_ends: [{ attempt: 2, status: 'failed', error: expect.stringContaining('gave up') }],
  })
})

test('every end before a retry is kept, oldest first, with its times', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const began = Math.floor(time.wall() / 1000)
  await service.register('n')
  await service.submit({ task_id: 'a' })
  await service.poll('n')
  await fail(service, 'n', 'a', { retryable: false })
  await time.pass(service, 5)
  await retry(service, 'a')
  await time.pass(service, 5)
  await cancel(service, 'a')
  await time.pass(service, 5)
  await retry(service, 'a')
  expect(await detailOf(service, 'a')).toMatchObject({
    status: 'pending',
    earlier_ends: [
      { attempt: 1, status: 'failed', error: 'the model crashed', ended_at: began, reopened_at: began + 5 },
      { attempt: 1, status: 'failed', error: 'cancelled', ended_at: began + 10, reopened_at: began + 15 },
    ],
  })
})

test('a task that timed out is retried, and may time out again', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('n')
  await service.submit({ task_id: 'a', max_infer_time: 30 })
  await service.poll('n')
  await time.until(service, service.reaches('a', 'timeout'))
  expect((await retry(service, 'a')).status).toBe(200)
  expect(await service.poll('n')).toMatchObject({ task_id: 'a', attempt: 2 })
  await time.until(service, service.reaches('a', 'timeout'))
  expect((await detailOf(service, 'a')).earlier_ends).toMatchObject([{ status: 'timeout', attempt: 1 }])
})

test('a completed task is not retried: 409', async () => {
  const service = await startService()
  await service.register('n')
  await service.submit({ task_id: 'a' })
  await service.poll('n')
  await complete(service, 'n', 'a')
  const before = await detailOf(service, 'a')
  expect(await retry(service, 'a')).toMatchObject({ status: 409, body: { code: 'conflict' } })
  expect(await detailOf(service, 'a')).toEqual(before)
})

test('to retry what waits or is worked on is 200 and changes nothing', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  const waiting = await detailOf(service, 'a')
  expect((await retry(service, 'a')).status).toBe(200)
  expect(await detailOf(service, 'a')).toEqual(waiting)
  await service.register('n')
  await service.poll('n')
  const running = await detailOf(service, 'a')
  expect((await retry(service, 'a')).status).toBe(200)
  expect(await detailOf(service, 'a')).toEqual(running)
})

test('a retried task goes to a node in session at once', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  const { attempt } = await node.next('task.assign')
  node.say({ type: 'task.fail', task_id: 'a', attempt, error: 'cannot', retryable: false })
  expect(await node.next('task.settled')).toMatchObject({ status: 'failed' })
  await retry(service, 'a')
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'a', attempt: 2 })
})

test('a retry is refused where a submission would be: the queue is full, or the user has too many waiting', async () => {
  const full = await startService({ max_pending_tasks: 1 })
  await full.submit({ task_id: 'a' })
  await cancel(full, 'a')
  await full.submit({ task_id: 'b' })
  const answer = await retry(full, 'a')
  expect(answer).toMatchObject({ status: 503, body: { code: 'queue_full' } })
  expect(answer.headers.get('retry-after')).not.toBeNull()
  const limited = await startService({ max_pending_per_user: 1 })
  await limited.submit({ task_id: 'a' })
  await cancel(limited, 'a')
  await limited.submit({ task_id: 'b' })
  expect(await retry(limited, 'a')).toMatchObject({ status: 429, body: { code: 'rate_limited' } })
  expect(await limited.status('a')).toMatchObject({ status: 'failed', error: 'cancelled' })
  await cancel(limited, 'b')
  expect((await retry(limited, 'a')).status).toBe(200)
  await expect(limited.submit({ task_id: 'c' })).rejects.toThrow('429')
})

test('a late result from before a retry is still taken while there is none', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  await node.beat('maintenance')
  await cancel(service, 'a')
  await retry(service, 'a')
  node.complete(assigned, 'late but good')
  expect(await node.next('task.settled')).toMatchObject({ status: 'completed', attempt: 1 })
  expect(await service.status('a')).toMatchObject({
    status: 'completed',
    error: null,
    result: { output: 'late but good' },
  })
})

test('cancel and retry hold over a restart', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  await service.submit({ task_id: 'b' })
  await cancel(service, 'a')
  await cancel(service, 'b')
  await retry(service, 'b')
  const before = [await detailOf(service, 'a'), await detailOf(service, 'b')]
  await service.stop()
  const again = await startService({ database_path: service.file })
  expect([await detailOf(again, 'a'), await detailOf(again, 'b')]).toEqual(before)
  expect(await statsOf(again)).toMatchObject({ failed_tasks: 1, pending_tasks: 1, total_tasks: 2 })
})
