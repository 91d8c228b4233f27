import { describe, expect, test } from 'vitest'
import { as, startGuarded } from '../support/access.js'
import { configFile, serviceChild } from '../support/child.js'
import { fakeTime } from '../support/fake-time.js'
import { connectNode, nextAssign, nextSettled } from '../support/node-session.js'
import { detailOf } from '../support/rest-calls.js'
import { startService, type Service } from '../support/service.js'
import { expectRefusal } from '../support/raw-http.js'
import { openEvents } from '../support/event-source.js'

const dataOf = async (service: Pick<Service, 'get'>, path: string) => {
  const { status, body } = await service.get(path)
  expect([path, status, body?.error]).toEqual([path, 200, null])
  return body?.data
}

const starts = {
  'in the thread of the doors': () => startService(),
  'in a thread of its own': () => serviceChild(configFile('core_thread = true\nheartbeat_interval = 5')),
}
describe.each(Object.entries(starts))('with the core %s', (_, start) => {
  test('models and the overview say what has happened', async () => {
    const service = await start()
    await service.submit({ task_id: 'a' })
    expect(await dataOf(service, '/api/v1/models')).toMatchObject([{ model: 'llama', waiting: 1, nodes: 0 }])
    const node = await connectNode(service, 'n1', { supported_models: ['llama-3-8b'] })
    const a = await nextAssign(node, 'a')
    node.accept(a)
    node.complete(a, 'Paris')
    await nextSettled(node, 'a')
    const models = await dataOf(service, '/api/v1/models')
    expect(models).toHaveLength(1)
    expect(models[0]).toMatchObject({ nodes: 1, slots: 1, free_slots: 1, waiting: 0, running: 0, completed_1h: 1 })
    for (const window of ['15m', '1h', '24h']) {
      const { series, totals, completed_1h } = await dataOf(service, `/api/v1/overview?window=${window}`)
      expect([totals.completed_tasks, completed_1h]).toEqual([1, 1])
      expect(series.completed.reduce((n: number, x: number) => n + x, 0)).toBe(1)
      for (const [name, list] of Object.entries(series))
        if (Array.isArray(list) && name !== 'waiting') expect([name, list.length]).toEqual([name, window === '15m' ? 180 : window === '1h' ? 60 : 288]) // prettier-ignore
    }
    expect(models[0].family).toBe('llama')
    const { started_ms, breaks_ms } = await dataOf(service, '/api/v1/overview')
    expect(Math.abs(breaks_ms.at(-1) - started_ms)).toBeLessThan(1000)
    expect((await dataOf(service, '/api/v1/overview?model=LLAMA-3-8b')).series.completed).toContain(1)
    expectRefusal(await service.get('/api/v1/overview?model=none'), 404, 'not_found', /^model: /)
    expectRefusal(await service.get('/api/v1/overview?window=2h'), 400, 'invalid_request', /^window: /)
  })

  test('the feed tells what happens to tasks and nodes, and each second how everything stands', async () => {
    const service = await start()
    const feed = await openEvents(service, '/api/v1/events')
    expect((await feed.next()).event).toBe('tick')
    await service.submit({ task_id: 'a', user_input: 'secret words' })
    const node = await connectNode(service, 'n1')
    const a = await nextAssign(node, 'a')
    node.say({ type: 'task.fail', task_id: 'a', attempt: a.attempt, error: 'secret reason', retryable: false })
    const told: { event: string; data: Record<string, unknown> }[] = []
    while (!told.some(({ data }) => data['status'] === 'failed') || !told.some(({ event }) => event === 'node'))
      told.push(await feed.next())
    expect(told.filter(({ event }) => event === 'task').map(({ data }) => data)).toMatchObject([
      { id: 'a', model: 'llama-3-8b', status: 'pending', attempt: 0, node: null, end: null },
      { id: 'a', status: 'in_progress', attempt: 1, node: 'n1', end: null },
      { id: 'a', status: 'failed', attempt: 1, node: 'n1', end: 'failed', fault: 'task' },
    ])
    expect(told.find(({ event }) => event === 'node')?.data).toMatchObject({ id: 'n1' })
    expect(JSON.stringify(told)).not.toContain('secret')
    feed.cut()
  })
})

test('pages of nodes by status, model and a part of the id', async () => {
  const service = await startService()
  await service.register('Alpha-1', { supported_models: ['llama-3-8b'] })
  await service.register('alpha-2', { supported_models: ['gemma'] })
  await service.register('beta', { supported_models: ['llama-3-8b', 'gemma'] })
  await service.post('/api/v1/nodes/beta/drain', {})
  const found = async (query: string): Promise<string[]> =>
    (await dataOf(service, `/api/v1/nodes?${query}`)).nodes.map((n: { node_id: string }) => n.node_id)
  expect(await found('q=ALPHA')).toEqual(['Alpha-1', 'alpha-2'])
  expect(await found('model=Llama-3-8B')).toEqual(['Alpha-1', 'beta'])
  expect(await found('status=maintenance')).toEqual(['beta'])
  expect(await found('status=online&model=gemma&q=a')).toEqual(['alpha-2'])
  expect(await dataOf(service, '/api/v1/nodes?q=a&limit=1')).toMatchObject({ next_cursor: 'Alpha-1' })
  expect(await found('q=a&limit=1&cursor=Alpha-1')).toEqual(['alpha-2'])
  for (const query of ['status=asleep', 'q=', `q=${'x'.repeat(129)}`])
    expectRefusal(await service.get(`/api/v1/nodes?${query}`), 400, 'invalid_request', /^(status|q): /)
})

test('a node says what it did and why it has nothing to do', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n1', {
    supported_models: ['llama-3-8b'],
    agent: 'test/1',
    features: ['params'],
  })
  await service.submit({ task_id: 'a' })
  const a = await nextAssign(node, 'a')
  node.accept(a)
  expect(await dataOf(service, '/api/v1/nodes/n1')).toMatchObject({
    agent: 'test/1',
    features: ['params'],
    idle_because: null,
    recent_attempts: [{ task_id: 'a', attempt: 1, end: null }],
  })
  node.say({ type: 'task.complete', task_id: 'a', attempt: 1, output: 'x', confidence: 1, usage: { prompt_tokens: 1, completion_tokens: 9 } }) // prettier-ignore
  await nextSettled(node, 'a')
  await service.submit({ task_id: 'b', model_name: 'gemma' })
  await service.submit({ task_id: 'c', params: { tools: [{ type: 'function' }] } })
  const report = await dataOf(service, '/api/v1/nodes/n1')
  expect(report).toMatchObject({
    status: 'online',
    rates: { completed: 1, failed: 0 },
    recent_attempts: [{ task_id: 'a', end: 'completed', fault: null, completion_tokens: 9 }],
    idle_because: { model: 1, feature: 1, failed_before: 0, cooldown: 0, drained: 0 },
  })
  expect(Date.now() - report.session_since_ms).toBeLessThan(60_000)
  await service.post('/api/v1/nodes/n1/drain', {})
  expect(await dataOf(service, '/api/v1/nodes/n1')).toMatchObject({
    idle_because: { model: 1, feature: 0, drained: 1 },
  })
  expectRefusal(await service.get('/api/v1/nodes/none'), 404, 'node_not_registered', /^node_id: /)
})

test('a task that waits says why it is at none of the nodes that serve it, the nearest first', async () => {
  const service = await startService()
  await service.register('busy', { supported_models: ['llama-3-8b'] })
  await service.register('drained', { supported_models: ['llama-3-8b'] })
  await service.register('other', { supported_models: ['gemma'] })
  await service.post('/api/v1/nodes/drained/drain', {})
  await connectNode(service, 'pausing', { supported_models: ['llama-3-8b'], status: 'maintenance' })
  await service.submit({ task_id: 'a' })
  expect(await service.poll('busy')).toMatchObject({ task_id: 'a' })
  await service.submit({ task_id: 'b' })
  const { waiting } = await detailOf(service, 'b')
  expect(waiting.nodes).toEqual([
    { node_id: 'busy', why: 'busy' },
    { node_id: 'pausing', why: 'maintenance' },
    { node_id: 'drained', why: 'drained' },
  ])
})

test('the times of a task are known to the millisecond, with its first word where somebody reads it', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  const began = time.wall()
  await service.submit({ task_id: 'a' })
  const stream = await openEvents(service, '/api/v1/tasks/a/events')
  await stream.next()
  await time.pass(service, 1.25)
  const node = await connectNode(service, 'n1')
  const a = await nextAssign(node, 'a')
  node.accept(a)
  await node.beat()
  await time.pass(service, 0.5)
  node.say({ type: 'task.output', task_id: 'a', attempt: 1, seq: 0, delta: 'Pa' })
  await node.beat()
  await time.pass(service, 0.25)
  node.complete(a, 'Paris')
  await nextSettled(node, 'a')
  const detail = await detailOf(service, 'a')
  const ms = (at: number): number => at - detail.created_ms
  expect(Math.abs(detail.created_ms - began)).toBeLessThan(2)
  expect(detail.queued_ms).toBe(detail.created_ms)
  const [attempt] = detail.attempts
  expect(ms(attempt.assigned_ms)).toBeGreaterThanOrEqual(1249)
  expect(attempt.first_word_ms - attempt.accepted_ms).toBeGreaterThanOrEqual(499)
  expect(attempt.ended_ms - attempt.first_word_ms).toBeGreaterThanOrEqual(249)
  expect((await dataOf(service, '/api/v1/models'))[0]).toMatchObject({ first_word_p50: expect.any(Number) })
})

test('who may not see the tasks of all sees none at a node, and no reader of a role without the right gets the feed', async () => {
  const tokens: Record<string, string> = {}
  const service = await startGuarded({}, (token) => {
    for (const role of ['user', 'viewer', 'node']) tokens[role] = token(role)
  })
  await as(service, tokens['node'] ?? null).post('/api/v1/nodes/register', {
    node_id: 'n1',
    endpoint: 'http://192.0.2.1',
    public_key: 'x',
    supported_models: ['llama'],
  })
  const seen = async (role: string) => (await as(service, tokens[role] ?? null).get('/api/v1/nodes/n1')).body?.data
  expect(await seen('user')).toMatchObject({ endpoint: null, public_key: null, recent_attempts: [] })
  expect(await seen('viewer')).toMatchObject({ endpoint: null, recent_attempts: [] })
  expect((await as(service, tokens['user'] ?? null).get('/api/v1/events')).status).toBe(403)
  expect((await as(service, null).get('/api/v1/overview')).status).toBe(401)
})
