import { expect, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { identity } from '../support/identity.js'
import { connectNode, dial, hello } from '../support/node-session.js'
import { inspect, type Service, startService } from '../support/service.js'

type Door = Pick<Service, 'get' | 'send'>
const order = (service: Door, path: string, method = 'POST') => service.send(method, path)
const cancel = (service: Door, id: string) => order(service, `/api/v1/tasks/${encodeURIComponent(id)}/cancel`)
const retry = (service: Door, id: string) => order(service, `/api/v1/tasks/${encodeURIComponent(id)}/retry`)
const drain = (service: Door, id: string) => order(service, `/api/v1/nodes/${encodeURIComponent(id)}/drain`)
const resume = (service: Door, id: string) => order(service, `/api/v1/nodes/${encodeURIComponent(id)}/resume`)
const forget = (service: Door, id: string) => order(service, `/api/v1/nodes/${encodeURIComponent(id)}`, 'DELETE')
const detailOf = async (service: Door, id: string) =>
  (await service.get(`/api/v1/tasks/${encodeURIComponent(id)}`)).body?.data
const nodesOf = async (service: Door) => (await service.get('/api/v1/nodes')).body?.data
const nodeOf = async (service: Door, id: string) =>
  (await nodesOf(service)).find((n: { node_id: string }) => n.node_id === id)
const stats = async (service: Door) => (await service.get('/api/v1/stats')).body?.data
const failed = (service: Pick<Service, 'post'>, node: string, id: string, retryable = false) =>
  service.post('/api/v1/tasks/fail', { task_id: id, inference_node_id: node, error: 'broken', retryable })
const completed = (service: Pick<Service, 'post'>, node: string, id: string) =>
  service.post('/api/v1/tasks/complete', { task_id: id, inference_node_id: node, output: 'x', confidence: 1 })

// Cancel

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
  expect(await stats(service)).toMatchObject({ pending_tasks: 0, failed_tasks: 1, total_tasks: 1 })
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
  expect(await completed(service, 'n', 'a')).toMatchObject({ status: 409, body: { code: 'conflict' } })
  expect(await service.status('a')).toMatchObject({ status: 'failed', error: 'cancelled', result: null })
})

test('to cancel twice is 200 twice, and counts once', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  await cancel(service, 'a')
  const first = await service.status('a')
  expect((await cancel(service, 'a')).status).toBe(200)
  expect(await service.status('a')).toEqual(first)
  expect(await stats(service)).toMatchObject({ failed_tasks: 1, total_tasks: 1 })
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
    await (task_id === 'good' ? completed : failed)(service, 'n', task_id)
    const before = await detailOf(service, task_id)
    expect(await cancel(service, task_id)).toMatchObject({
      status: 409,
      body: { code: 'conflict', error: expect.stringContaining(task_id) },
    })
    expect(await detailOf(service, task_id)).toEqual(before)
  }
})

test('what does not exist is 404, and what cannot be an id is 400, for every order', async () => {
  const service = await startService()
  for (const order of [cancel, retry]) {
    expect(await order(service, 'nothing')).toMatchObject({ status: 404, body: { code: 'task_not_found' } })
    expect(await order(service, 'x'.repeat(129))).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', error: expect.stringContaining('task_id') },
    })
    expect(await order(service, 'a/b')).toMatchObject({ status: 400 })
  }
  for (const order of [drain, resume, forget]) {
    expect(await order(service, 'nobody')).toMatchObject({ status: 404, body: { code: 'node_not_registered' } })
    expect(await order(service, 'x'.repeat(129))).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', error: expect.stringContaining('node_id') },
    })
    expect(await order(service, 'a/b')).toMatchObject({ status: 400 })
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

// Retry

test('a failed task that is retried goes on with its attempt numbers, and counts its attempts anew', async () => {
  const service = await startService({ max_attempts: 2 })
  await service.register('n')
  await service.submit({ task_id: 'a' })
  for (let i = 0; i < 2; i++) {
    expect((await service.poll('n')).task_id).toBe('a')
    await failed(service, 'n', 'a', true)
  }
  expect(await service.status('a')).toMatchObject({
    status: 'failed',
    error: expect.stringContaining('gave up after 2 attempts'),
  })
  expect(await retry(service, 'a')).toMatchObject({ status: 200, body: { data: 'Task queued again' } })
  expect(await service.status('a')).toMatchObject({ status: 'pending', error: null, attempts: 2 })
  expect(await service.poll('n')).toMatchObject({ task_id: 'a', attempt: 3 })
  await failed(service, 'n', 'a', true)
  expect(await service.status('a')).toMatchObject({ status: 'pending' }) // one of two
  // Its own node rests after three failures; another one goes on.
  await service.register('m')
  expect(await service.poll('m')).toMatchObject({ task_id: 'a', attempt: 4 })
  await completed(service, 'm', 'a')
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
  await failed(service, 'n', 'a')
  await time.pass(service, 5)
  await retry(service, 'a')
  await time.pass(service, 5)
  await cancel(service, 'a')
  await time.pass(service, 5)
  await retry(service, 'a')
  expect(await detailOf(service, 'a')).toMatchObject({
    status: 'pending',
    earlier_ends: [
      { attempt: 1, status: 'failed', error: 'broken', ended_at: began, reopened_at: began + 5 },
      { attempt: 1, status: 'failed', error: 'cancelled', ended_at: began + 10, reopened_at: began + 15 },
    ],
  })
})

test('a task that timed out is retried, and may time out again', async () => {
  const service = await startService()
  await service.register('n')
  await service.submit({ task_id: 'a', max_infer_time: 1 })
  await service.poll('n')
  await service.reaches('a', 'timeout')
  expect((await retry(service, 'a')).status).toBe(200)
  expect(await service.poll('n')).toMatchObject({ task_id: 'a', attempt: 2 })
  await service.reaches('a', 'timeout')
  expect((await detailOf(service, 'a')).earlier_ends).toMatchObject([{ status: 'timeout', attempt: 1 }])
})

test('a completed task is not retried: 409', async () => {
  const service = await startService()
  await service.register('n')
  await service.submit({ task_id: 'a' })
  await service.poll('n')
  await completed(service, 'n', 'a')
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
  expect(await stats(again)).toMatchObject({ failed_tasks: 1, pending_tasks: 1, total_tasks: 2 })
})

// Drain, resume, forget

test('a drained node in session finishes what it holds, gets nothing new, and goes on when it is resumed', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'a' })
  const assigned = await node.next('task.assign')
  expect(await drain(service, 'n')).toMatchObject({ status: 200, body: { data: 'Node drains' } })
  expect((await drain(service, 'n')).status).toBe(200)
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'maintenance', drained: true, in_progress_tasks: 1 })
  await service.submit({ task_id: 'b' })
  node.complete(assigned)
  expect(await node.next('task.settled')).toMatchObject({ task_id: 'a', status: 'completed' })
  await node.beat('online')
  expect(node.inbox.filter((m) => m.type === 'task.assign')).toEqual([])
  expect(await service.status('b')).toMatchObject({ status: 'pending' })
  expect(await resume(service, 'n')).toMatchObject({ status: 200, body: { data: 'Node resumed' } })
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'b' })
  expect(await nodeOf(service, 'n')).toMatchObject({ drained: false })
  expect((await resume(service, 'n')).status).toBe(200)
})

test('a drained node that polls is answered what it holds and nothing new', async () => {
  const service = await startService()
  await service.register('n', { max_concurrent_tasks: 2 })
  await service.submit({ task_id: 'a' })
  await service.poll('n')
  await service.submit({ task_id: 'b' })
  await drain(service, 'n')
  expect(await service.poll('n', [])).toMatchObject({ task_id: 'a' })
  expect(await service.poll('n', ['a'])).toBeNull()
  await completed(service, 'n', 'a')
  expect(await service.poll('n')).toBeNull()
  await service.register('n') // its own word does not undo the operator's
  await service.post('/api/v1/nodes/heartbeat', { node_id: 'n', status: 'online' })
  expect(await service.poll('n')).toBeNull()
  expect(await nodeOf(service, 'n')).toMatchObject({ status: 'maintenance', drained: true })
  await resume(service, 'n')
  expect(await service.poll('n')).toMatchObject({ task_id: 'b' })
})

test('what a drained node failed goes to it no more, and a task barred from the others goes to them', async () => {
  const service = await startService()
  await service.register('other')
  await service.submit({ task_id: 'a' })
  await service.poll('other')
  const node = await connectNode(service, 'n')
  await failed(service, 'other', 'a', true)
  const assigned = await node.next('task.assign')
  node.say({ type: 'task.fail', task_id: 'a', attempt: assigned.attempt, error: 'x', retryable: true })
  await node.next('task.settled')
  await drain(service, 'other')
  expect((await service.status('a')).status).toMatch(/pending|in_progress/)
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'a' })
})

test('a drain holds over a restart of the service and a new hello', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await drain(service, 'n')
  node.close()
  await node.closed
  await service.stop()
  const again = await startService({ database_path: service.file })
  expect(await nodeOf(again, 'n')).toMatchObject({ drained: true })
  const back = await connectNode(again, 'n')
  await again.submit({ task_id: 'a' })
  await back.beat()
  expect(await nodeOf(again, 'n')).toMatchObject({ drained: true, status: 'maintenance' })
  expect(back.inbox).toEqual([])
  await resume(again, 'n')
  expect(await back.next('task.assign')).toMatchObject({ task_id: 'a' })
})

test('a forgotten node in session is closed with 1000 and is in no list', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  expect(await forget(service, 'n')).toMatchObject({ status: 200, body: { data: 'Node forgotten' } })
  expect(await node.closed).toMatchObject({ code: 1000 })
  expect(await nodesOf(service)).toEqual([])
  expect(await stats(service)).toMatchObject({ total_nodes: 0, online_nodes: 0 })
  expect(inspect(service.file, (db) => db.prepare('SELECT node_id FROM inference_nodes').all())).toEqual([])
  expect((await forget(service, 'n')).status).toBe(404)
  await service.submit({ task_id: 'a' })
  expect((await detailOf(service, 'a')).waiting).toMatchObject({ reason: 'no_node_for_model' })
})

test('a forgotten node that polls is unknown until it registers again', async () => {
  const service = await startService()
  await service.register('n')
  await forget(service, 'n')
  expect(await service.get('/api/v1/nodes/n/tasks')).toMatchObject({
    status: 404,
    body: { code: 'node_not_registered' },
  })
  expect((await service.post('/api/v1/nodes/heartbeat', { node_id: 'n', status: 'online' })).status).toBe(404)
  expect((await service.register('n')).status).toBe(200)
})

test('a node that holds a task is not forgotten: 409', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  const assigned = await node.next('task.assign')
  expect(await forget(service, 'n')).toMatchObject({
    status: 409,
    body: { code: 'conflict', error: expect.stringContaining('drain') },
  })
  await node.beat()
  node.complete(assigned)
  expect(await node.next('task.settled')).toMatchObject({ status: 'completed' })
  expect((await forget(service, 'n')).status).toBe(200)
  expect(await detailOf(service, 'a')).toMatchObject({ status: 'completed', attempts: [{ node_id: 'n' }] }) // history stays
})

test('a forgotten name may be taken by another key, in a session and over REST, and starts with a clean slate', async () => {
  const service = await startService()
  const first = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  const { attempt } = await first.next('task.assign')
  first.say({ type: 'task.fail', task_id: 'a', attempt, error: 'x', retryable: false })
  await first.next('task.settled')
  await drain(service, 'n')
  expect(await nodeOf(service, 'n')).toMatchObject({ failures_in_row: 0, success_rate: null, drained: true })
  const stranger = await dial(service)
  const { nonce } = await stranger.next('session.challenge')
  stranger.say(hello(service, 'n', nonce, {}, identity('somebody else')))
  expect(await stranger.closed).toMatchObject({ code: 4403 })
  await forget(service, 'n')
  const second = await dial(service)
  const challenge = await second.next('session.challenge')
  second.say(hello(service, 'n', challenge.nonce, {}, identity('somebody else')))
  await second.next('session.welcome')
  expect(await nodeOf(service, 'n')).toMatchObject({
    status: 'online',
    drained: false,
    failures_in_row: 0,
    success_rate: null,
  })
  await forget(service, 'n')
  await second.closed
  expect((await service.register('n', { public_key: '03another' })).status).toBe(200)
})

test('in the name of a forgotten node nobody completes what it once held', async () => {
  const service = await startService({ max_attempts: 5 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  node.accept(await node.next('task.assign'))
  await node.beat('maintenance')
  node.close() // gives it back
  await node.closed
  await service.reaches('a', 'pending')
  await forget(service, 'n')
  expect((await completed(service, 'n', 'a')).status).toBeGreaterThanOrEqual(400)
  expect((await failed(service, 'n', 'a')).status).toBeGreaterThanOrEqual(400)
  expect(await service.status('a')).toMatchObject({ status: 'pending', result: null })
})

test('a forgotten node stays forgotten over a restart', async () => {
  const service = await startService()
  await service.register('n')
  await service.register('m')
  await forget(service, 'n')
  await service.stop()
  const again = await startService({ database_path: service.file })
  expect((await nodesOf(again)).map((n: { node_id: string }) => n.node_id)).toEqual(['m'])
})

test('forgotten nodes make room for others', async () => {
  const service = await startService({ max_nodes: 1 })
  await service.register('n')
  expect((await service.register('m')).status).toBe(503)
  await forget(service, 'n')
  expect((await service.register('m')).status).toBe(200)
})

test('every order has one method, and says so', async () => {
  const service = await startService()
  await service.register('n')
  await service.submit({ task_id: 'a' })
  const refused: [string, string, string][] = [
    ['GET', '/api/v1/tasks/a/cancel', 'POST'],
    ['DELETE', '/api/v1/tasks/a/cancel', 'POST'],
    ['GET', '/api/v1/tasks/a/retry', 'POST'],
    ['PUT', '/api/v1/tasks/a/retry', 'POST'],
    ['GET', '/api/v1/nodes/n/drain', 'POST'],
    ['GET', '/api/v1/nodes/n/resume', 'POST'],
    ['GET', '/api/v1/nodes/n', 'DELETE'],
    ['POST', '/api/v1/nodes/n', 'DELETE'],
    ['DELETE', '/api/v1/nodes/register', 'POST'],
    ['GET', '/api/v1/nodes/register', 'POST'],
    ['DELETE', '/api/v1/nodes/heartbeat', 'POST'],
    ['DELETE', '/api/v1/nodes/connect', 'GET, HEAD'],
    ['POST', '/api/v1/nodes/n/tasks', 'GET'],
    ['DELETE', '/api/v1/nodes', 'GET, HEAD'],
  ]
  const before = [await detailOf(service, 'a'), await nodesOf(service)]
  for (const [method, path, allow] of refused) {
    const answer = await order(service, path, method)
    expect(answer, `${method} ${path}`).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } })
    expect(answer.headers.get('allow'), `${method} ${path}`).toBe(allow)
  }
  expect([await detailOf(service, 'a'), await nodesOf(service)]).toEqual(before)
})

test('a stopping service takes no retry, and still cancels', async () => {
  const service = await startService({ shutdown_timeout: 600 })
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'held' })
  node.accept(await node.next('task.assign'))
  await service.submit({ task_id: 'ended' })
  await cancel(service, 'ended')
  const stopped = service.stop()
  await node.next('session.drain')
  const answer = await retry(service, 'ended')
  expect(answer).toMatchObject({ status: 503, body: { code: 'stopping' } })
  expect(answer.headers.get('retry-after')).not.toBeNull()
  expect((await cancel(service, 'held')).status).toBe(200)
  expect(await node.next('task.cancel')).toMatchObject({ task_id: 'held', reason: 'cancelled' })
  await stopped // nothing holds it up any more
})
