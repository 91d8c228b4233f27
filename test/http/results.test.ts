import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { connectNode } from '../support/node-session.js'
import { complete, fail, statusAndCode } from '../support/rest-calls.js'
import { inspect, startService } from '../support/service.js'
import { until } from '../support/wait.js'

test('a completion is stored as it was said, and answered once it is in the file', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const [output, confidence] of [
    ['', 0],
    ['The answer', 1],
    ['{"json": true}', 0.85],
  ] as const) {
    const id = await service.submit()
    await service.poll('node-1')
    const answer = await complete(service, 'node-1', id, { output, confidence })
    expect(answer.body).toEqual({ success: true, data: 'Task completed', error: null })
    expect(
      inspect(service.file, (db) =>
        db
          .prepare('SELECT status, output, confidence, inference_node_id FROM inference_tasks WHERE task_id = ?')
          .get(id),
      ),
    ).toEqual({ status: 'completed', output, confidence, inference_node_id: 'node-1' })
    const t = await service.status(id)
    expect(t).toMatchObject({ status: 'completed', attempts: 1, error: null, txid: null })
    expect(t.result).toEqual({ output, confidence, completed_at: expect.any(Number), inference_node_id: 'node-1' })
  }
})

test('the same completion again from the same node is 200 and changes nothing', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  await complete(service, 'node-1', id)
  const before = await service.status(id)
  const again = await Promise.all(Array.from({ length: 5 }, () => complete(service, 'node-1', id)))
  for (const answer of again) expect(answer.body).toEqual({ success: true, data: 'Task completed', error: null })
  expect(await service.status(id)).toEqual(before)
})

test('a completion that does not count is 409 and changes nothing', async () => {
  const service = await startService()
  await service.register('node-1', { max_concurrent_tasks: 9 })
  await service.register('node-2')
  const ids = { held: '', done: '', failed: '', other: '' }
  for (const name of ['held', 'done', 'failed'] as const) {
    ids[name] = await service.submit({ task_id: name })
    await service.poll('node-1')
  }
  await complete(service, 'node-1', 'done')
  await fail(service, 'node-1', 'failed', { retryable: false })
  await service.submit({ task_id: 'waiting' })
  const before = await Promise.all(['held', 'done', 'failed', 'waiting'].map(service.status))
  for (const [node, id, more] of [
    ['node-2', 'held', {}],
    ['nobody', 'held', {}],
    ['node-1', 'waiting', {}],
    ['node-1', 'failed', {}],
    ['node-1', 'done', { output: 'other' }],
    ['node-2', 'done', {}],
    ['node-2', 'failed', {}],
  ] as const) {
    const answer = await complete(service, node, id, more)
    expect({ node, id, ...statusAndCode(answer) }).toEqual({ node, id, status: 409, code: 'conflict' })
  }
  expect(statusAndCode(await complete(service, 'node-1', 'nothing'))).toEqual({ status: 404, code: 'task_not_found' })
  expect(await Promise.all(['held', 'done', 'failed', 'waiting'].map(service.status))).toEqual(before)
  expect((await complete(service, 'node-1', 'held')).status).toBe(200)
})

test('a completion counts for the newest attempt that the node was given', async () => {
  const time = fakeTime()
  const service = await startService({ max_attempts: 5 }, time)
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  await fail(service, 'node-1', id)
  await time.pass(service, 5)
  expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 2 }) // there is no other node
  expect((await complete(service, 'node-1', id)).status).toBe(200)
  expect(inspect(service.file, (db) => db.prepare('SELECT attempt, end FROM attempts ORDER BY attempt').all())).toEqual(
    [
      { attempt: 1, end: 'failed' },
      { attempt: 2, end: 'completed' },
    ],
  )
})

test('a late result is taken while the task has none, and the attempt that runs elsewhere is cancelled', async () => {
  const service = await startService()
  await service.register('late')
  const id = await service.submit()
  await service.poll('late')
  await fail(service, 'late', id)
  const node = await connectNode(service, 'prompt')
  const assigned = await node.next('task.assign')
  expect(assigned).toMatchObject({ task_id: id, attempt: 2 })
  node.accept(assigned)
  expect((await complete(service, 'late', id, { output: 'first' })).status).toBe(200)
  expect(await node.next('task.cancel')).toMatchObject({ task_id: id, attempt: 2, reason: 'superseded' })
  node.complete(assigned, 'second')
  expect(await node.next('error')).toMatchObject({ code: 'stale_attempt', task_id: id })
  expect(await service.status(id)).toMatchObject({
    status: 'completed',
    result: { output: 'first', inference_node_id: 'late' },
  })
  expect((await complete(service, 'late', id, { output: 'first' })).status).toBe(200)
})

test('a failure that may be retried queues the task for another node at once', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('node-1')
  await service.register('node-2')
  const id = await service.submit()
  await service.poll('node-1')
  for (const body of [{}, { retryable: true }]) expect((await fail(service, 'node-1', id, body)).status).toBe(200)
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 1, error: null, result: null })
  expect(await service.poll('node-1')).toBeNull() // while another that is online can serve it
  expect(await service.poll('node-2')).toMatchObject({ task_id: id, attempt: 2 })
  await time.pass(service, 5)
  expect(await service.poll('node-1')).toBeNull() // however long ago it failed it
  await fail(service, 'node-2', id)
  expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 3 }) // now every node has failed it
  await fail(service, 'node-1', id, { error: 'out of memory' })
  expect(await service.status(id)).toMatchObject({
    status: 'failed',
    attempts: 3,
    error: expect.stringMatching(/out of memory/),
    result: null,
  })
  expect(await service.poll('node-2')).toBeNull()
})

test('a failure that may not be retried ends the task with the words of the node', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  for (let i = 0; i < 2; i++)
    expect((await fail(service, 'node-1', id, { retryable: false, error: 'the prompt is too long 😀' })).status).toBe(
      200,
    )
  expect(await service.status(id)).toMatchObject({
    status: 'failed',
    attempts: 1,
    error: 'the prompt is too long 😀',
    result: null,
  })
  const silent = await service.submit()
  await service.poll('node-1')
  await fail(service, 'node-1', silent, { retryable: false, error: '' })
  expect((await service.status(silent)).error).toMatch(/./) // a sentence, not nothing
})

test('a failure that does not count is refused', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  expect(statusAndCode(await fail(service, 'node-1', 'nothing'))).toEqual({ status: 404, code: 'task_not_found' })
  expect(statusAndCode(await fail(service, 'node-1', id))).toEqual({ status: 409, code: 'conflict' })
  await service.poll('node-1')
  expect(statusAndCode(await fail(service, 'node-2', id))).toEqual({ status: 409, code: 'conflict' })
  await complete(service, 'node-1', id)
  expect(statusAndCode(await fail(service, 'node-1', id))).toEqual({ status: 409, code: 'conflict' })
  expect(await service.status(id)).toMatchObject({ status: 'completed' })
})

test('attempts counts those that have begun: accepted, or handed to a poll', async () => {
  const service = await startService()
  const node = await connectNode(service, 'node-1')
  const id = await service.submit()
  const first = await node.next('task.assign')
  expect(await service.status(id)).toMatchObject({ status: 'in_progress', attempts: 0 })
  node.say({ type: 'task.reject', task_id: id, attempt: first.attempt, reason: 'no' })
  await service.reaches(id, 'pending')
  await service.register('poller')
  expect(await service.poll('poller')).toMatchObject({ task_id: id, attempt: 2 })
  expect(await service.status(id)).toMatchObject({ status: 'in_progress', attempts: 1 })
  await fail(service, 'poller', id)
  await service.reaches(id, 'pending')
  const other = await connectNode(service, 'node-2')
  const third = await other.next('task.assign')
  expect(third).toMatchObject({ attempt: 3 })
  other.accept(third)
  await until(async () => (await service.status(id)).attempts === 2)
})

test('updated_at moves with the status and created_at does not', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  const first = await service.status(id)
  await until(() => Math.floor(Date.now() / 1000) > first.created_at)
  await service.poll('node-1')
  const second = await service.status(id)
  expect(second.created_at).toBe(first.created_at)
  expect(second.updated_at).toBeGreaterThan(first.updated_at as number)
})
