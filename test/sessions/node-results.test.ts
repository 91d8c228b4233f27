import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { assignsSoFar, attemptOf, connectNode, fail, nextAssign, nextSettled, reject } from '../support/node-session.js'
import { inspect, startService } from '../support/service.js'

test('a completion is stored with its usage and settled with the status of the task', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await nextAssign(node, 'A')
  node.say({
    type: 'task.complete',
    ...attemptOf(a),
    output: 'line\nnaïve 🦙\u0000',
    confidence: 0,
    usage: { prompt_tokens: 12, completion_tokens: 34 },
  })
  expect(await nextSettled(node, 'A')).toEqual({ type: 'task.settled', task_id: 'A', attempt: 1, status: 'completed' })
  expect(await service.status('A')).toMatchObject({
    status: 'completed',
    error: null,
    result: { output: 'line\nnaïve 🦙\u0000', confidence: 0, inference_node_id: 'n' },
  })
  expect(
    inspect(service.file, (db) =>
      db.prepare("SELECT prompt_tokens, completion_tokens FROM attempts WHERE task_id = 'A'").get(),
    ),
  ).toEqual({ prompt_tokens: 12, completion_tokens: 34 })
})

test('an empty output is a result', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  node.complete(await nextAssign(node, 'A'), '')
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'completed' })
  expect(await service.status('A')).toMatchObject({ result: { output: '' } })
})

test('a completion that is sent twice is settled twice and the stored result does not change', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await nextAssign(node, 'A')
  node.complete(a, 'first')
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'completed' })
  node.complete(a, 'second')
  expect(await nextSettled(node, 'A')).toMatchObject({ attempt: 1, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1, result: { output: 'first' } })
})

test('a completion that is sent twice in one frame frees one slot and is settled twice', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  for (const task_id of ['A', 'B', 'C']) await service.submit({ task_id })
  const done = { type: 'task.complete', ...attemptOf(await nextAssign(node, 'A')), output: 'x', confidence: 1 }
  node.say([done, done])
  await nextSettled(node, 'A')
  await nextSettled(node, 'A')
  await nextAssign(node, 'B')
  expect(await assignsSoFar(node)).toEqual([])
})

test('after a retryable fail the task is pending and goes on with the next attempt', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  fail(node, await nextAssign(node, 'A'))
  const answer = await nextSettled(node, 'A')
  expect(answer).toEqual({ type: 'task.settled', task_id: 'A', attempt: 1, status: 'pending' })
  await time.pass(service, 5)
  const second = await nextAssign(node, 'A') // nobody else serves it
  expect(second.attempt).toBe(2)
  node.complete(second)
  expect(await nextSettled(node, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ status: 'completed', attempts: 2, error: null })
})

test('a fail that is sent twice is settled twice and counted once', async () => {
  const time = fakeTime()
  const service = await startService({ max_attempts: 2 }, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const a = await nextAssign(node, 'A')
  fail(node, a)
  expect(await nextSettled(node, 'A')).toMatchObject({ attempt: 1, status: 'pending' })
  await time.pass(service, 5)
  const second = await nextAssign(node, 'A')
  fail(node, a)
  expect(await nextSettled(node, 'A')).toMatchObject({ attempt: 1, status: 'in_progress' }) // its status as it is now
  node.complete(second)
  expect(await nextSettled(node, 'A')).toMatchObject({ attempt: 2, status: 'completed' })
})

test('after max_attempts retryable fails the task is failed with the last reason', async () => {
  const time = fakeTime()
  const service = await startService({ max_attempts: 3 }, time)
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  const statuses: string[] = []
  for (const [error, waits] of [
    ['one', 0],
    ['two', 5],
    ['three', 10],
  ] as const) {
    await time.pass(service, waits)
    fail(node, await nextAssign(node, 'A'), true, error)
    statuses.push((await nextSettled(node, 'A')).status)
  }
  expect(statuses).toEqual(['pending', 'pending', 'failed'])
  expect(await service.status('A')).toMatchObject({
    status: 'failed',
    attempts: 3,
    error: expect.stringContaining('three'),
    result: null,
  })
  expect(await assignsSoFar(node)).toEqual([])
})

test('a fail that is not retryable fails the task at once with its reason', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  fail(node, await nextAssign(node, 'A'), false, 'the prompt is too long for this model')
  expect(await nextSettled(node, 'A')).toMatchObject({ status: 'failed' })
  expect(await service.status('A')).toMatchObject({ status: 'failed', error: 'the prompt is too long for this model' })
})

test('rejections do not use up max_attempts', async () => {
  const service = await startService({ max_attempts: 1 })
  for (const name of ['a', 'b', 'c']) {
    const node = await connectNode(service, name)
    if (name === 'a') await service.submit({ task_id: 'A' })
    reject(node, await nextAssign(node, 'A'))
    await node.beat()
  }
  const last = await connectNode(service, 'd')
  const a = await nextAssign(last, 'A')
  expect(a.attempt).toBe(4)
  last.complete(a)
  expect(await nextSettled(last, 'A')).toMatchObject({ attempt: 4, status: 'completed' })
  expect(await service.status('A')).toMatchObject({ attempts: 1 })
})
