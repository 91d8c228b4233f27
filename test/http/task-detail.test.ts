import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { formerFile } from '../support/former-file.js'
import { connectNode } from '../support/node-session.js'
import { detailOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'

/** The same times in ms; nobody has read its text. */
const inMs = {
  assigned_ms: expect.any(Number),
  accepted_ms: expect.any(Number),
  first_word_ms: null,
  ended_ms: expect.any(Number),
}
const whole = expect.toSatisfy((n: unknown) => Number.isInteger(n), 'an integer')

test('the detail of a waiting task says everything it was submitted with, and why it waits', async () => {
  const service = await startService()
  await service.submit({
    task_id: 'a',
    user_input: 'frage ✓',
    context: 'zusammenhang',
    fee: 3,
    nonce: 4,
    infer_fee: 5,
    max_infer_time: 6,
    user_address: 'ST1',
    model_name: 'Llama-3-8B',
  })
  const answer = await service.get('/api/v1/tasks/a')
  expect(answer.status).toBe(200)
  expect(answer.body).toEqual({
    success: true,
    error: null,
    data: {
      task_id: 'a',
      status: 'pending',
      user_address: 'ST1',
      user_input: 'frage ✓',
      context: 'zusammenhang',
      model_name: 'Llama-3-8B',
      model_type: 'llama',
      fee: 3,
      nonce: 4,
      infer_fee: 5,
      max_infer_time: 6,
      created_at: whole,
      updated_at: whole,
      error: null,
      txid: null,
      result: null,
      attempts: [],
      earlier_ends: [],
      created_ms: whole,
      queued_ms: whole,
      waiting: {
        reason: 'no_node_for_model',
        explanation: expect.stringContaining('Llama-3-8B'),
        position: 1,
        nodes: [],
      },
    },
  })
})

test('the detail lists every attempt with its node, its times, its end, its fault and its usage', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const began = Math.floor(time.wall() / 1000)
  await service.submit({ task_id: 'a' })
  const first = await connectNode(service, 'first')
  const one = await first.next('task.assign')
  await time.pass(service, 2)
  first.accept(one)
  await first.beat()
  await time.pass(service, 3)
  first.say({ type: 'task.fail', task_id: 'a', attempt: 1, error: 'out of memory', retryable: true })
  await first.next('task.settled')
  // It alone serves the model, so it gets the task again, after a pause; while it works the task does not wait.
  await time.pass(service, 5)
  const two = await first.next('task.assign')
  first.accept(two)
  await first.beat()
  expect((await detailOf(service, 'a')).waiting).toBeNull()
  first.say({ type: 'task.fail', task_id: 'a', attempt: 2, error: 'again', retryable: true })
  await first.next('task.settled')
  await time.pass(service, 10)
  const three = await first.next('task.assign')
  await time.pass(service, 4)
  first.say({
    type: 'task.complete',
    task_id: 'a',
    attempt: three.attempt,
    output: 'Paris',
    confidence: 0.5,
    usage: { prompt_tokens: 7, completion_tokens: 8 },
  })
  await first.next('task.settled')
  const detail = await detailOf(service, 'a')
  expect(detail).toMatchObject({
    status: 'completed',
    waiting: null,
    earlier_ends: [],
    result: { output: 'Paris', confidence: 0.5, inference_node_id: 'first', completed_at: whole },
  })
  expect(detail.attempts).toEqual([
    {
      attempt: 1,
      node_id: 'first',
      transport: 'websocket',
      ...inMs,
      assigned_at: began,
      accepted_at: began + 2,
      ended_at: began + 5,
      end: 'failed',
      fault: 'node',
      error: 'out of memory',
      usage: null,
    },
    {
      attempt: 2,
      node_id: 'first',
      transport: 'websocket',
      ...inMs,
      assigned_at: began + 10,
      accepted_at: began + 10,
      ended_at: began + 10,
      end: 'failed',
      fault: 'node',
      error: 'again',
      usage: null,
    },
    {
      attempt: 3,
      node_id: 'first',
      transport: 'websocket',
      ...inMs,
      assigned_at: began + 20,
      accepted_at: whole,
      ended_at: began + 24,
      end: 'completed',
      fault: null,
      error: null,
      usage: { prompt_tokens: 7, completion_tokens: 8 },
    },
  ])
  expect(detail.result.completed_at).toBe(detail.attempts[2].ended_at)
})

test('an attempt that was polled says so, and an open one has no end', async () => {
  const service = await startService()
  await service.register('poller')
  await service.submit({ task_id: 'a' })
  await service.poll('poller')
  expect((await detailOf(service, 'a')).attempts).toEqual([
    {
      attempt: 1,
      node_id: 'poller',
      transport: 'rest',
      ...inMs,
      ended_ms: null,
      assigned_at: whole,
      accepted_at: whole,
      ended_at: null,
      end: null,
      fault: null,
      error: null,
      usage: null,
    },
  ])
})

test('the times of an attempt stay what they were when the service stood still afterwards', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const began = Math.floor(time.wall() / 1000)
  await service.register('poller')
  await service.submit({ task_id: 'a' })
  await service.poll('poller')
  await service.post('/api/v1/tasks/complete', {
    task_id: 'a',
    output: 'x',
    confidence: 1,
    inference_node_id: 'poller',
  })
  time.jump(1000)
  const detail = await detailOf(service, 'a')
  expect(detail.attempts[0]).toMatchObject({ assigned_at: began, ended_at: detail.result.completed_at })
})

test('the times of attempts from a file of the first version are found by its clock', async () => {
  const database_path = formerFile(
    1,
    `INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type, model_name, model_key, status, attempt, created_at, updated_at, queued_ms, queue_rank)
      VALUES ('a', 'u', 'x', '', 0, 0, 1, 60, 'llama', 'llama', 'llama', 'failed', 2, 1700000000, 1700000000, 1000, 1);
    INSERT INTO attempts (task_id, attempt, node_id, polled, handouts, assigned_ms, accepted_ms, lease_ms, ended_ms, end, error)
      VALUES ('a', 1, 'n', 0, 0, 1000, NULL, 61000, 6000, 'unaccepted', NULL), ('a', 2, 'n', 1, 1, 7000, 7000, 67000, 9000, 'failed', 'x');
    INSERT INTO task_counts (status, tasks) VALUES ('failed', 1);
    INSERT INTO service_clock (id, alive_ms, alive_at) VALUES (1, 10000, 1700000010)`,
  )
  const service = await startService({ database_path })
  expect((await detailOf(service, 'a')).attempts).toMatchObject([
    { assigned_at: 1_700_000_001, accepted_at: null, ended_at: 1_700_000_006, end: 'unaccepted', fault: null },
    { assigned_at: 1_700_000_007, accepted_at: 1_700_000_007, ended_at: 1_700_000_009, end: 'failed', fault: null },
  ])
})

test('a task that does not exist is 404, and an id that cannot exist is 400', async () => {
  const service = await startService()
  expect(await service.get('/api/v1/tasks/nothing')).toMatchObject({ status: 404, body: { code: 'task_not_found' } })
  for (const id of ['x'.repeat(129), 'a%2Fb', 'a%0Ab'])
    expect(await service.get(`/api/v1/tasks/${id}`)).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', error: expect.stringContaining('task_id') },
    })
})

test('an id of any allowed characters is found', async () => {
  const service = await startService()
  for (const task_id of ['a b', '100%', 'ü?#&', 'cancel', 'status', '..x']) {
    await service.submit({ task_id })
    expect(await detailOf(service, task_id)).toMatchObject({ task_id })
  }
})
