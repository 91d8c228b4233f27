import { join } from 'node:path'
import * as v from 'valibot'
import { expect, onTestFinished, test } from 'vitest'
import { clientServerMessages } from '../../src/wire/client-answers.js'
import { connectClient, submission } from '../support/client-session.js'
import { connectNode } from '../support/node-session.js'
import { inspect, startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

const count = (file: string) =>
  inspect(file, (db) => db.prepare<[], { n: number }>('SELECT count(*) AS n FROM inference_tasks').get()?.n)

test('a session begins with a welcome; a submission is answered once it is stored, and its result comes by itself', async () => {
  const service = await startService()
  const client = await connectClient(service)
  expect(client.socket.protocol).toBe('inference-client.v1')
  expect(await client.next('session.welcome')).toEqual({
    type: 'session.welcome',
    protocol: 1,
    server_time: expect.any(Number),
    max_in_flight: 1000,
  })
  client.submit({ ref: 'first', task_id: 'A' })
  expect(await client.next('task.submitted')).toMatchObject({
    type: 'task.submitted',
    ref: 'first',
    task_id: 'A',
    status: 'pending',
  })
  expect(await service.status('A')).toMatchObject({
    status: 'pending',
    user_input: 'What is the capital of France?',
    infer_fee: 2500,
  })
  const node = await connectNode(service, 'n')
  const assigned = await node.next('task.assign')
  expect(assigned.stream).toBe(false)
  expect(await client.next('task.status')).toEqual({
    type: 'task.status',
    task_id: 'A',
    status: 'in_progress',
    attempt: 1,
  })
  node.complete(assigned, 'Paris')
  expect(await client.next('task.result')).toEqual({
    type: 'task.result',
    task_id: 'A',
    status: 'completed',
    error: null,
    attempt: 1,
    result: { output: 'Paris', confidence: 0.9, completed_at: expect.any(Number), inference_node_id: 'n' },
  })
  await client.settle()
  expect(client.inbox).toEqual([])
  for (const frame of client.frames) {
    const messages = [JSON.parse(frame)].flat() as { type: keyof typeof clientServerMessages }[]
    for (const m of messages) expect(v.is(clientServerMessages[m.type], m), frame).toBe(true)
  }
})

test('with watch none nothing follows; without a task_id one is made', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const client = await connectClient(service)
  client.submit({ watch: 'none' })
  const { task_id } = await client.next('task.submitted')
  expect(task_id).toMatch(/^[0-9a-f-]{36}$/)
  node.complete(await node.next('task.assign', { task_id }))
  await node.next('task.settled')
  await client.settle()
  expect(client.inbox.map((m) => m.type)).toEqual(['session.welcome'])
})

test('what one commit releases is one frame, in the order of the submissions', async () => {
  const service = await startService()
  const client = await connectClient(service)
  await client.next('session.welcome')
  client.say(Array.from({ length: 256 }, (_, i) => submission({ ref: `c${i}`, task_id: `t${i}`, watch: 'none' })))
  await client.next('task.submitted', { ref: 'c255' })
  expect(client.frames).toHaveLength(2)
  expect((JSON.parse(client.frames[1] ?? '') as { ref: string }[]).map((m) => m.ref)).toEqual(
    Array.from({ length: 256 }, (_, i) => `c${i}`),
  )
  expect(count(service.file)).toBe(256)
})

test('a submission is idempotent by its task_id, and says where the task is; other content is a conflict', async () => {
  const service = await startService()
  const client = await connectClient(service)
  client.say([
    submission({ ref: '1', task_id: 'A' }),
    submission({ ref: '2', task_id: 'A' }),
    submission({ ref: '3', task_id: 'A', infer_fee: 1 }),
  ])
  expect(await client.next('task.submitted', { ref: '1' })).toMatchObject({ status: 'pending' })
  expect(await client.next('task.submitted', { ref: '2' })).toMatchObject({ status: 'pending', task_id: 'A' })
  expect(await client.next('error')).toEqual({
    type: 'error',
    code: 'conflict',
    ref: '3',
    message: expect.stringContaining('A'),
  })
  const node = await connectNode(service, 'n')
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  await client.next('task.status')
  const other = await connectClient(service)
  other.submit({ ref: 'x', task_id: 'A' })
  expect(await other.next('task.submitted')).toMatchObject({ ref: 'x', status: 'in_progress' })
  expect(await other.next('task.status')).toMatchObject({ status: 'in_progress', attempt: 1 })
  node.complete(assigned)
  expect(await other.next('task.result')).toMatchObject({ status: 'completed' })
  expect(await client.next('task.result')).toMatchObject({ status: 'completed' })
  client.submit({ ref: 'y', task_id: 'A' })
  expect(await client.next('task.submitted', { ref: 'y' })).toMatchObject({ status: 'completed' })
  expect(await client.next('task.result')).toMatchObject({ result: { output: 'Paris' } })
  expect(await service.post('/api/v1/tasks/submit', task({ task_id: 'A' }))).toMatchObject({
    status: 200,
    body: { data: { task_id: 'A' } },
  })
  expect(Object.keys((await service.post('/api/v1/tasks/submit', task({ task_id: 'A' }))).body?.data)).toEqual([
    'task_id',
  ])
})

test('amounts are taken digit by digit, as over REST', async () => {
  const service = await startService()
  const client = await connectClient(service)
  const say = (fee: string, ref: string) =>
    client.socket.send(JSON.stringify(submission({ ref, task_id: ref, infer_fee: 'FEE' })).replace('"FEE"', fee))
  say('9007199254740991', 'most')
  say('"9007199254740991"', 'text')
  say('9007199254740990.5', 'half')
  say('9007199254740992', 'more')
  await client.next('task.submitted', { ref: 'most' })
  await client.next('task.submitted', { ref: 'text' })
  for (const ref of ['half', 'more'])
    expect(await client.next('error', { ref })).toMatchObject({
      code: 'invalid_message',
      message: expect.stringContaining('infer_fee'),
    })
  expect((await service.status('most')).infer_fee).toBe(9007199254740991)
})

test('what REST refuses is refused with the same code, and names its ref', async () => {
  const service = await startService({ max_pending_tasks: 2, max_pending_per_user: 1, max_message_bytes: 16 * 1024 })
  const client = await connectClient(service)
  client.submit({ ref: 'large', user_input: 'a'.repeat(15_000) })
  client.submit({ ref: 'a', user_address: 'a' })
  client.submit({ ref: 'again', user_address: 'a' })
  client.submit({ ref: 'b', user_address: 'b' })
  client.submit({ ref: 'full', user_address: 'c' })
  expect(await client.next('error', { ref: 'large' })).toMatchObject({ code: 'too_large' })
  expect(await client.next('error', { ref: 'again' })).toMatchObject({ code: 'rate_limited' })
  expect(await client.next('error', { ref: 'full' })).toMatchObject({ code: 'queue_full' })
  expect(count(service.file)).toBe(2)
})

test('a task is cancelled, watched or not; its end is said once', async () => {
  const service = await startService()
  const client = await connectClient(service)
  const node = await connectNode(service, 'n')
  client.say([
    submission({ ref: '1', task_id: 'A' }),
    submission({ ref: '2', task_id: 'B', watch: 'none', model_name: 'nobody' }),
  ])
  await node.next('task.assign')
  await client.next('task.status')
  client.say([
    { type: 'task.cancel', task_id: 'A' },
    { type: 'task.cancel', task_id: 'B' },
    { type: 'task.cancel', task_id: 'C' },
  ])
  for (const task_id of ['A', 'B'])
    expect(await client.next('task.result', { task_id })).toEqual({
      type: 'task.result',
      task_id,
      status: 'failed',
      result: null,
      error: 'cancelled',
    })
  expect(await client.next('error', { task_id: 'C' })).toMatchObject({ code: 'task_not_found' })
  expect(await node.next('task.cancel')).toMatchObject({ reason: 'cancelled' })
  await client.settle()
  expect(client.inbox.filter((m) => m.type === 'task.result')).toEqual([])
  await service.submit({ task_id: 'D' })
  node.complete(await node.next('task.assign', { task_id: 'D' }))
  await node.next('task.settled')
  client.say({ type: 'task.cancel', task_id: 'D' })
  expect(await client.next('error', { task_id: 'D' })).toMatchObject({ code: 'conflict' })
})

test('while the store cannot be written each submission is told unavailable, and nothing has happened', async () => {
  const service = await startService()
  const client = await connectClient(service)
  client.submit({ ref: 'before', task_id: 'before' })
  await client.next('task.submitted')
  const other = new Database(service.file)
  onTestFinished(() => void other.close())
  other.exec('BEGIN IMMEDIATE')
  client.say([
    submission({ ref: '1', task_id: 'one' }),
    submission({ ref: '2' }),
    { type: 'task.watch', task_id: 'before' },
    { type: 'task.cancel', task_id: 'before' },
  ])
  for (const ref of ['1', '2']) expect(await client.next('error', { ref })).toMatchObject({ code: 'unavailable' })
  expect(await client.next('task.status')).toMatchObject({ task_id: 'before', status: 'pending' })
  expect(await client.next('error', { task_id: 'before' })).toMatchObject({ code: 'unavailable' })
  other.exec('ROLLBACK')
  await until(async () => (await service.get('/health')).status === 200, 'health')
  expect(count(service.file)).toBe(1)
  for (let i = 0; i < 1000; i += 250)
    client.say(
      Array.from({ length: 250 }, (_, n) => submission({ ref: `n${i + n}`, task_id: `n${i + n}`, watch: 'none' })),
    )
  await client.next('task.submitted', { ref: 'n999' }) // those that were refused are not in flight any more
})

test('a commit that fails takes back the watch it came with', async () => {
  const service = await startService()
  const client = await connectClient(service)
  const other = new Database(service.file)
  onTestFinished(() => void other.close())
  other.exec(`CREATE TRIGGER full BEFORE INSERT ON task_counts BEGIN SELECT RAISE(ABORT, 'full'); END`)
  client.submit({ ref: '1', task_id: 'A' })
  expect(await client.next('error', { ref: '1' })).toMatchObject({ code: 'unavailable' })
  other.exec('DROP TRIGGER full')
  await until(async () => (await service.get('/health')).status === 200, 'health')
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'A' })
  node.complete(await node.next('task.assign'))
  await node.next('task.settled')
  await client.settle()
  expect(client.inbox.map((m) => m.type)).toEqual(['session.welcome'])
})

test('a session that ends cancels nothing; before a stop it is told to drain, and is closed with 1001', async () => {
  const file = join(tempDir(), 'inference.db')
  const service = await startService({ database_path: file, shutdown_timeout: 5 })
  const gone = await connectClient(service)
  gone.submit({ ref: '1', task_id: 'A' })
  await gone.next('task.submitted')
  gone.socket.close(1000)
  await gone.closed
  const client = await connectClient(service)
  client.say({ type: 'task.watch', task_id: 'A' })
  expect(await client.next('task.status')).toMatchObject({ status: 'pending', attempt: 0 })
  const node = await connectNode(service, 'n')
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  await node.beat()
  const stopped = service.stop()
  expect(await client.next('session.drain')).toEqual({ type: 'session.drain', reason: 'shutdown', reconnect_after: 5 })
  await node.next('session.drain')
  client.submit({ ref: 'late' })
  expect(await client.next('error', { ref: 'late' })).toMatchObject({ code: 'stopping' })
  node.complete(assigned)
  expect(await client.next('task.result')).toMatchObject({ task_id: 'A', status: 'completed' })
  expect((await client.closed).code).toBe(1001)
  await stopped
})
