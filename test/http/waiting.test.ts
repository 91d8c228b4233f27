import { expect, test } from 'vitest'
import { as, idOf, OWNER, startGuarded } from '../support/access.js'
import { connectNode, nextAssign } from '../support/node-session.js'
import { startService, task } from '../support/service.js'
import { until } from '../support/wait.js'

test('a submission that waits is answered with the result, and says that the wish was heard', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  const answer = service.post('/api/v1/tasks?wait=60', task({ task_id: 'A' }))
  node.complete(await nextAssign(node, 'A'), 'Paris')
  const { status, headers, body } = await answer
  expect(status).toBe(200)
  expect(body?.data).toMatchObject({ task_id: 'A', status: 'completed', result: { output: 'Paris' } })
  expect(headers.get('preference-applied')).toBe('wait=60')
})

test('who has waited for long enough is told how the task stands', async () => {
  const service = await startService()
  const now = await service.post('/api/v1/tasks?wait=0', task({ task_id: 'A' }))
  expect(now.body?.data).toMatchObject({ task_id: 'A', status: 'pending', result: null })
  expect(now.headers.get('preference-applied')).toBeNull()
  const later = await service.get('/api/v1/tasks/A/status?wait=1')
  expect(later.body?.data).toMatchObject({ status: 'pending' })
  expect(later.headers.get('preference-applied')).toBeNull()
})

test('a status waits for the end, by query or by preference; a task that has ended is not waited for', async () => {
  const service = await startService()
  await service.submit(task({ task_id: 'A' }))
  const waiting = service.send('GET', '/api/v1/tasks/A/status', null, { Prefer: 'respond-async, wait=120' })
  const node = await connectNode(service, 'n')
  node.complete(await nextAssign(node, 'A'), 'Paris')
  const answer = await waiting
  expect(answer.body?.data).toMatchObject({ status: 'completed' })
  expect(answer.headers.get('preference-applied')).toBe('wait=120')
  expect((await service.get('/api/v1/tasks/A/status?wait=600')).body?.data).toMatchObject({ status: 'completed' })
})

test('a batch waits for all of its tasks, and each entry is its status', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n', { max_concurrent_tasks: 4 })
  const answer = service.post('/api/v1/tasks/batch?wait=60', {
    tasks: [task({ task_id: 'A' }), task({ task_id: 'B', infer_fee: -1 }), task({ task_id: 'C' })],
  })
  node.complete(await nextAssign(node, 'A'), 'a')
  node.complete(await nextAssign(node, 'C'), 'c')
  const { headers, body } = await answer
  expect(body?.data.results).toMatchObject([
    { task_id: 'A', status: 'completed', result: { output: 'a' } },
    { code: 'invalid_request' },
    { task_id: 'C', status: 'completed', result: { output: 'c' } },
  ])
  expect(headers.get('preference-applied')).toBe('wait=60')
})

test.each(['601', '-1', 'x', '1.5', ''])('?wait=%s is refused, and nothing is stored', async (wait) => {
  const service = await startService()
  expect(await service.post(`/api/v1/tasks?wait=${wait}`, task({ task_id: 'A' }))).toMatchObject({
    status: 400,
    body: { code: 'invalid_request', error: expect.stringMatching(/^wait: must be/) as string },
  })
  expect((await service.get('/api/v1/tasks/A/status')).status).toBe(404)
})

test('who hangs up while he waits cancels nothing', async () => {
  const service = await startService()
  const cut = new AbortController()
  const gone = fetch(`${service.url}/api/v1/tasks?wait=60`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(task({ task_id: 'A' })),
    signal: cut.signal,
  }).catch(() => 'gone')
  await until(async () => (await service.get('/api/v1/tasks/A/status')).status === 200)
  cut.abort()
  expect(await gone).toBe('gone')
  const node = await connectNode(service, 'n')
  node.complete(await nextAssign(node, 'A'), 'Paris')
  await service.reaches('A', 'completed')
})

test('a stop answers who waits with how the task stands', async () => {
  const service = await startService()
  await service.submit(task({ task_id: 'A' }))
  const waiting = service.get('/api/v1/tasks/A/status?wait=60')
  await service.get('/api/v1/stats')
  const stopped = service.stop()
  const { status } = await waiting.catch(() => ({ status: 0 }))
  expect([200, 503, 0]).toContain(status)
  await stopped
})

test('an Idempotency-Key is the task_id where there is none, and that of each token is its own', async () => {
  const service = await startService()
  const key = { 'Idempotency-Key': 'K-1' }
  const first = await service.post('/api/v1/tasks', task(), key)
  const second = await service.post('/api/v1/tasks', task(), key)
  expect([first.body?.data.task_id, second.body?.data.task_id]).toEqual(['K-1', 'K-1'])
  expect((await service.post('/api/v1/tasks', task({ user_input: 'other' }), key)).status).toBe(409)
  expect((await service.post('/api/v1/tasks', task({ task_id: 'mine' }), key)).body?.data.task_id).toBe('mine')
  expect((await service.post('/api/v1/tasks', task(), { 'Idempotency-Key': 'a/b' })).body?.error).toMatch(
    /^Idempotency-Key: /,
  )
})

test('the key of a token is its own', async () => {
  let token = ''
  const service = await startGuarded({}, (make) => {
    token = make('user')
  })
  const answer = await as(service, token, { 'Idempotency-Key': 'K' }).post(
    '/api/v1/tasks',
    task({ user_address: OWNER }),
  )
  expect(answer.body?.data.task_id).toBe(`${idOf(token)}.K`)
})
