import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { connectClient } from '../support/client-session.js'
import { connectNode, nextAssign } from '../support/node-session.js'
import { batch, complete, fail, statusAndCode } from '../support/rest-calls.js'
import { startService, task } from '../support/service.js'
import { countTasks } from '../support/stored-state.js'

test('an input that is too large to push is 413 at submission, as JSON counts it', async () => {
  const service = await startService({ max_message_bytes: 16_384 })
  for (const bad of [
    { user_input: 'x'.repeat(16_384) },
    { context: 'x'.repeat(16_384) },
    { signed_tx: 'x'.repeat(16_384) },
    { user_input: 'x'.repeat(8_000), context: 'x'.repeat(8_000) },
    { user_input: '\0'.repeat(3_000) }, // six bytes each
    { user_input: '語'.repeat(5_000) }, // three bytes each
  ]) {
    const answer = await service.post('/api/v1/tasks', task(bad))
    expect(statusAndCode(answer)).toEqual({ status: 413, code: 'too_large' })
    expect(answer.body?.error).toMatch(/user_input/)
  }
  expect(countTasks(service)).toBe(0)
  const node = await connectNode(service, 'node-1')
  // As much as is taken, and the longest names around it: what is pushed still fits into one message.
  const model_name = 'llama'.padEnd(128, '語')
  for (const [i, user_input] of ['x'.repeat(14_330), '\0'.repeat(2_388), '語'.repeat(4_776)].entries()) {
    const id = await service.submit({ user_input, model_name, task_id: `${'😀'.repeat(127)}${i}` })
    const assigned = await node.next('task.assign')
    expect(assigned).toMatchObject({ task_id: id, user_input })
    expect(Math.max(...node.frames.map((frame) => Buffer.byteLength(frame)))).toBeLessThanOrEqual(16_384)
    node.complete(assigned)
    await node.next('task.settled')
  }
})

test('a full queue is 503 with Retry-After, but for what is in it already, until a task leaves it', async () => {
  const service = await startService({ max_pending_tasks: 2 })
  await service.register('node-1')
  const first = await service.submit()
  await service.submit()
  const answer = await service.post('/api/v1/tasks', task({ task_id: 'more' }))
  expect(statusAndCode(answer)).toEqual({ status: 503, code: 'queue_full' })
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await service.get('/api/v1/tasks/more/status')).status).toBe(404)
  expect((await service.post('/api/v1/tasks', task({ task_id: first }))).status).toBe(200)
  await service.poll('node-1')
  expect(await batch(service, [task({ task_id: 'a' }), task({ task_id: 'b' }), task({ task_id: first })])).toEqual([
    { task_id: 'a' },
    { error: expect.stringMatching(/full/), code: 'queue_full' },
    { task_id: first },
  ])
  expect(countTasks(service)).toBe(3)
})

test('a user with too many waiting tasks is 429 with Retry-After, and no other user is', async () => {
  const time = fakeTime()
  const service = await startService({ max_pending_per_user: 2 }, time)
  await service.register('node-1')
  const mine = { user_address: 'ST-mine', infer_fee: 9 }
  await service.submit(mine)
  expect(await batch(service, [task({ ...mine, task_id: 'second' }), task({ ...mine, task_id: 'third' })])).toEqual([
    { task_id: 'second' },
    { error: expect.stringMatching(/ST-mine/), code: 'rate_limited' },
  ])
  const answer = await service.post('/api/v1/tasks', task({ ...mine, task_id: 'third' }))
  expect(statusAndCode(answer)).toEqual({ status: 429, code: 'rate_limited' })
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await service.post('/api/v1/tasks', task({ ...mine, task_id: 'second' }))).status).toBe(200)
  await service.submit({ user_address: 'ST-other', infer_fee: 1 })
  const first = (await service.poll('node-1')).task_id as string
  await fail(service, 'node-1', first) // it waits again, and so counts again
  expect((await service.post('/api/v1/tasks', task({ ...mine, task_id: 'third' }))).status).toBe(429)
  await time.pass(service, 5)
  expect(await service.poll('node-1')).toMatchObject({ task_id: first, attempt: 2 })
  await complete(service, 'node-1', first)
  expect((await service.post('/api/v1/tasks', task({ ...mine, task_id: 'third' }))).status).toBe(200)
})

test('the limit per user holds after a restart', async () => {
  const first = await startService({ max_pending_per_user: 1 })
  await first.submit()
  await first.stop()
  const second = await startService({ max_pending_per_user: 1, database_path: first.file })
  expect((await second.post('/api/v1/tasks', task())).status).toBe(429)
  await second.register('node-1')
  await second.poll('node-1')
  expect((await second.post('/api/v1/tasks', task())).status).toBe(200)
})

test('a max_infer_time above the limit is refused, over REST and in a session, and what was stored before goes on', async () => {
  const first = await startService({ max_infer_time_limit: 600 })
  expect(await first.post('/api/v1/tasks', task({ max_infer_time: 601 }))).toMatchObject({
    status: 400,
    body: { code: 'invalid_request', error: expect.stringMatching(/^max_infer_time: .*600.*max_infer_time_limit/) },
  })
  const client = await connectClient(first)
  client.submit({ task_id: 'A', max_infer_time: 601 })
  expect(await client.next('error')).toMatchObject({
    code: 'invalid_message',
    message: expect.stringMatching(/^max_infer_time: /),
  })
  await first.submit({ task_id: 'B', max_infer_time: 600 })
  await first.stop()
  const second = await startService({ max_infer_time_limit: 60, database_path: first.file })
  await second.submit({ task_id: 'B', max_infer_time: 600 }) // it is known
  const node = await connectNode(second, 'n')
  node.complete(await nextAssign(node, 'B'))
  await second.reaches('B', 'completed')
  expect((await startService().then((s) => s.post('/api/v1/tasks', task({ max_infer_time: 86_401 })))).status).toBe(400)
})
