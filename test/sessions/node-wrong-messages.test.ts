import { expect, test } from 'vitest'
import { connectNode, type TestNode } from '../support/node-session.js'
import { nodeOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

/** Sends `n` messages of an unknown type and waits for their answers. */
const makeMistakes = async (node: TestNode, n: number): Promise<void> => {
  for (let i = 0; i < n; i++) {
    node.say({ type: 'task.dance' })
    await node.next('error', { code: 'unknown_type' })
  }
}

test('unknown fields are ignored in every message', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { colour: 'blue', deep: { a: [1] } })
  await service.submit()
  const { task_id, attempt } = await node.next('task.assign')
  node.say({ type: 'node.heartbeat', mood: 'fine' })
  await node.next('node.heartbeat_ack')
  node.say({ type: 'task.accept', task_id, attempt, extra: 1 })
  node.say({ type: 'task.output', task_id, attempt, seq: 0, delta: 'Pa', extra: 1 })
  node.say({
    type: 'task.complete',
    task_id,
    attempt,
    output: 'Paris',
    confidence: 1,
    usage: { prompt_tokens: 1, completion_tokens: 2, cached: 3 },
    extra: 1,
  })
  expect(await node.next('task.settled')).toMatchObject({ task_id, status: 'completed' })
})

test('an unknown type is answered with unknown_type and changes nothing', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.say({ type: 'task.dance', task_id: 'x', attempt: 1 })
  expect(await node.next('error')).toMatchObject({
    code: 'unknown_type',
    message: expect.stringContaining('task.dance'),
  })
})

test('names that every object has are no message types', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  for (const type of ['constructor', '__proto__', 'toString', '']) {
    node.say({ type })
    expect(await node.next('error')).toMatchObject({ code: 'unknown_type' })
  }
})

test.each([
  ['heartbeat with an unknown status', { type: 'node.heartbeat', status: 'offline' }],
  ['accept without an attempt', { type: 'task.accept', task_id: 'T' }],
  ['accept with attempt 0', { type: 'task.accept', task_id: 'T', attempt: 0 }],
  ['complete without a confidence', { type: 'task.complete', task_id: 'T', attempt: 1, output: 'x' }],
  [
    'complete with a confidence over 1',
    { type: 'task.complete', task_id: 'T', attempt: 1, output: 'x', confidence: 1.01 },
  ],
  [
    'complete with an output that is no string',
    { type: 'task.complete', task_id: 'T', attempt: 1, output: { a: 1 }, confidence: 1 },
  ],
  [
    'complete with a lone surrogate',
    { type: 'task.complete', task_id: 'T', attempt: 1, output: '\ud800', confidence: 1 },
  ],
  [
    'complete with a usage that counts backwards',
    {
      type: 'task.complete',
      task_id: 'T',
      attempt: 1,
      output: 'x',
      confidence: 1,
      usage: { prompt_tokens: -1, completion_tokens: 1 },
    },
  ],
  ['output without a seq', { type: 'task.output', task_id: 'T', attempt: 1, delta: 'x' }],
  ['fail without retryable', { type: 'task.fail', task_id: 'T', attempt: 1, error: 'x' }],
  ['reject without a reason', { type: 'task.reject', task_id: 'T', attempt: 1 }],
])('a message that does not fit its schema is answered and changes nothing: %s', async (_, message) => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'T' })
  const assigned = await node.next('task.assign')
  node.say(message)
  expect(await node.next('error')).toMatchObject({
    code: 'invalid_message',
    message: expect.stringContaining(message.type),
  })
  expect(await service.status('T')).toMatchObject({ status: 'in_progress', attempts: 0, result: null })
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'busy' })
  node.complete(assigned)
  expect(await node.next('task.settled')).toMatchObject({ status: 'completed' })
})

test('ten wrong messages are answered, the eleventh closes with 4400', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await makeMistakes(node, 5)
  for (let i = 0; i < 5; i++) {
    node.socket.send('no JSON')
    await node.next('error', { code: 'invalid_message' })
  }
  await node.beat()
  node.say({ type: 'node.heartbeat', status: 'asleep' })
  expect((await node.closed).code).toBe(4400)
})

test('wrong messages count each by itself, also inside one array', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  node.say(Array.from({ length: 11 }, () => ({ type: 'task.dance' })))
  expect((await node.closed).code).toBe(4400)
})

test('what a session sends after it is closed for its mistakes is not read', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const taskId = await service.submit()
  const { task_id, attempt } = await node.next('task.assign')
  node.say([
    ...Array.from({ length: 11 }, () => ({ type: 'task.dance' })),
    { type: 'task.complete', task_id, attempt, output: 'x', confidence: 1 },
  ])
  expect((await node.closed).code).toBe(4400)
  expect(await service.status(taskId)).toMatchObject({ status: 'in_progress', result: null })
})
