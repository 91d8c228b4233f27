import { expect, test } from 'vitest'
import { connectNode } from '../support/node-session.js'
import { cancel, complete, detailOf, fail, nodeOf, statsOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

test('a waiting task that is cancelled has failed, and no node gets it', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  expect(await cancel(service, 'a')).toMatchObject({
    status: 200,
    body: { success: true, data: 'Task cancelled', error: null },
  })
  expect(await service.status('a')).toMatchObject({ status: 'failed', error: 'cancelled', result: null, attempts: 0 })
  await service.register('n')
  expect(await service.poll('n')).toBeNull()
  expect(await statsOf(service)).toMatchObject({ pending_tasks: 0, failed_tasks: 1, total_tasks: 1 })
})

test('the node that works on a cancelled task is told, its slot is free at once, and its late result changes nothing', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  await node.beat()
  await cancel(service, 'a')
  expect(await node.next('task.cancel')).toEqual({ type: 'task.cancel', task_id: 'a', attempt: 1, reason: 'cancelled' })
  node.complete(assigned, 'too late')
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: 'a', attempt: 1 })
  expect(await service.status('a')).toMatchObject({ status: 'failed', error: 'cancelled', result: null })
  expect((await detailOf(service, 'a')).attempts).toMatchObject([{ end: 'cancelled', fault: null, error: null }])
  expect(await nodeOf(service, 'n')).toMatchObject({ in_progress_tasks: 0, failures_in_row: 0, success_rate: null })
  await service.submit({ task_id: 'b' })
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'b' })
})

test('an assignment that was not accepted yet can be cancelled, and the accept that crosses it is stale', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  const assigned = await node.next('task.assign')
  await cancel(service, 'a')
  node.accept(assigned)
  expect(await node.next('task.cancel')).toMatchObject({ reason: 'cancelled' })
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt' })
  expect(await service.status('a')).toMatchObject({ status: 'failed', attempts: 0 })
})

test('a polling node loses a cancelled task, and its result is 409', async () => {
  const service = await startService()
  await service.register('n')
  await service.submit({ task_id: 'a' })
  await service.poll('n')
  await cancel(service, 'a')
  expect(await service.poll('n')).toBeNull()
  expect(await complete(service, 'n', 'a')).toMatchObject({ status: 409, body: { code: 'conflict' } })
  expect(await service.status('a')).toMatchObject({ status: 'failed', error: 'cancelled', result: null })
})

test('to cancel twice is 200 twice, and counts once', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  await cancel(service, 'a')
  const first = await service.status('a')
  expect((await cancel(service, 'a')).status).toBe(200)
  expect(await service.status('a')).toEqual(first)
  expect(await statsOf(service)).toMatchObject({ failed_tasks: 1, total_tasks: 1 })
})

test('two calls that cancel at the same time cancel once', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  await node.next('task.assign')
  const answers = await Promise.all(Array.from({ length: 5 }, () => cancel(service, 'a')))
  expect(answers.map((a) => a.status)).toEqual([200, 200, 200, 200, 200])
  await node.beat()
  expect(node.frames.filter((f) => f.includes('task.cancel'))).toHaveLength(1)
})

test('what has ended otherwise cannot be cancelled: 409', async () => {
  const service = await startService()
  await service.register('n')
  for (const task_id of ['good', 'bad']) {
    await service.submit({ task_id })
    await service.poll('n')
    await (task_id === 'good' ? complete(service, 'n', task_id) : fail(service, 'n', task_id, { retryable: false }))
    const before = await detailOf(service, task_id)
    expect(await cancel(service, task_id)).toMatchObject({
      status: 409,
      body: { code: 'conflict', error: expect.stringContaining(task_id) },
    })
    expect(await detailOf(service, task_id)).toEqual(before)
  }
})

test('a submission of a cancelled id with the same content does not bring it back', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  await cancel(service, 'a')
  await service.submit({ task_id: 'a' })
  expect(await service.status('a')).toMatchObject({ status: 'failed', error: 'cancelled' })
})

test('cancelled tasks no longer count against the limit of their user', async () => {
  const service = await startService({ max_pending_per_user: 1 })
  await service.submit({ task_id: 'a' })
  await expect(service.submit({ task_id: 'b' })).rejects.toThrow('429')
  await cancel(service, 'a')
  await service.submit({ task_id: 'b' })
})
