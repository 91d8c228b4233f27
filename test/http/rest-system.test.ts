import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { fakeTime } from '../support/fake-time.js'
import { connectNode } from '../support/node-session.js'
import { inspect, type Service, startService, task } from '../support/service.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

const stats = async (service: Service) => (await service.get('/api/v1/stats')).body?.data as Record<string, number>

/** The counters of tasks, counted row by row by another program. */
const recount = (service: Service) =>
  inspect(service.file, (db) => {
    const rows = db
      .prepare<[], { status: string; n: number }>('SELECT status, count(*) AS n FROM inference_tasks GROUP BY status')
      .all()
    const of = (status: string): number => rows.find((r) => r.status === status)?.n ?? 0
    return {
      total_tasks: rows.reduce((sum, r) => sum + r.n, 0),
      pending_tasks: of('pending'),
      processing_tasks: of('in_progress'),
      completed_tasks: of('completed'),
      submitted_tasks: of('submitted'),
      failed_tasks: of('failed'),
      timeout_tasks: of('timeout'),
    }
  })

/** The counters of nodes, counted from the list of nodes. */
async function recountNodes(service: Service) {
  const nodes = (await service.get('/api/v1/nodes')).body?.data as { status: string }[]
  const of = (...statuses: string[]): number => nodes.filter((n) => statuses.includes(n.status)).length
  return {
    total_nodes: nodes.length,
    active_nodes: of('online', 'busy'),
    online_nodes: of('online'),
    busy_nodes: of('busy'),
    offline_nodes: of('offline'),
    maintenance_nodes: of('maintenance'),
  }
}

test('the stats of a new service are zeros', async () => {
  const service = await startService()
  expect(await stats(service)).toEqual({
    total_tasks: 0,
    pending_tasks: 0,
    processing_tasks: 0,
    completed_tasks: 0,
    submitted_tasks: 0,
    failed_tasks: 0,
    timeout_tasks: 0,
    total_nodes: 0,
    active_nodes: 0,
    online_nodes: 0,
    busy_nodes: 0,
    offline_nodes: 0,
    maintenance_nodes: 0,
    average_inference_time: 0,
    uptime_seconds: expect.any(Number),
  })
})

test('each counter counts exactly the tasks and nodes in its status, after whatever has happened', async () => {
  const service = await startService({ max_attempts: 2, max_pending_tasks: 30 })
  const nodes = ['a', 'b', 'c']
  const node = fc.constantFrom(...nodes)
  const id = fc.nat({ max: 25 }).map((n) => `t${n}`)
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('submit' as const), id, fee: fc.nat({ max: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('batch' as const), ids: fc.array(id, { maxLength: 6 }) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('poll' as const), node }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('complete' as const), node, id }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('fail' as const), node, id, retryable: fc.boolean() }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('heartbeat' as const),
        node,
        status: fc.constantFrom('online', 'offline', 'busy', 'maintenance', 'wrong'),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('register' as const), node, slots: fc.integer({ min: 1, max: 4 }) }),
    },
  )
  type Step = typeof step extends fc.Arbitrary<infer S> ? S : never
  let round = 0
  const run = (s: Step): Promise<unknown> => {
    const scoped = (taskId: string): string => `${round}-${taskId}`
    switch (s.do) {
      case 'submit':
        return service.post('/api/v1/tasks', task({ task_id: scoped(s.id), infer_fee: s.fee }))
      case 'batch':
        return service.post('/api/v1/tasks/batch', { tasks: s.ids.map((i) => task({ task_id: scoped(i) })) })
      case 'poll':
        return service.get(`/api/v1/nodes/${s.node}/tasks`)
      case 'complete':
        return service.post('/api/v1/tasks/complete', {
          task_id: scoped(s.id),
          output: 'o',
          confidence: 1,
          inference_node_id: s.node,
        })
      case 'fail':
        return service.post('/api/v1/tasks/fail', {
          task_id: scoped(s.id),
          error: 'e',
          retryable: s.retryable,
          inference_node_id: s.node,
        })
      case 'heartbeat':
        return service.post('/api/v1/nodes/heartbeat', { node_id: s.node, status: s.status })
      case 'register':
        return service.register(s.node, { max_concurrent_tasks: s.slots })
    }
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 20, maxLength: 60 }),
      fc.integer({ min: 1, max: 8 }),
      async (steps, atOnce) => {
        round++
        // Some at once, so that they share a commit.
        for (let i = 0; i < steps.length; i += atOnce) await Promise.all(steps.slice(i, i + atOnce).map(run))
        const said = await stats(service)
        expect(said).toMatchObject(recount(service))
        expect(said).toMatchObject(await recountNodes(service))
      },
    ),
    { numRuns: 25 },
  )
  const before = recount(service)
  expect(before.total_tasks).toBeGreaterThan(0)
  await service.stop()
  const again = await startService({ database_path: service.file })
  expect(await stats(again)).toMatchObject(before)
  expect(recount(again)).toEqual(before)
})

test('a timeout is counted as one, and a node in session as what it is', async () => {
  const time = fakeTime()
  const service = await startService({ max_queue_time: 100 }, time)
  const node = await connectNode(service, 'node-1', { supported_models: ['gemma'] })
  await connectNode(service, 'node-2', { status: 'maintenance' })
  const id = await service.submit()
  await time.until(service, service.reaches(id, 'timeout'))
  expect(await stats(service)).toMatchObject({
    total_tasks: 1,
    pending_tasks: 0,
    timeout_tasks: 1,
    total_nodes: 2,
    active_nodes: 1,
    online_nodes: 1,
    maintenance_nodes: 1,
  })
  expect(await stats(service)).toMatchObject({ ...recount(service), ...(await recountNodes(service)) })
  node.socket.terminate()
  await until(async () => (await stats(service)).offline_nodes === 1)
  expect(await stats(service)).toMatchObject({ active_nodes: 0, online_nodes: 0 })
})

test('average_inference_time is the mean of what has been completed, in seconds', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  expect(await stats(service)).toMatchObject({ average_inference_time: 0 })
  await time.pass(service, 7)
  await service.post('/api/v1/tasks/complete', { task_id: id, output: 'o', confidence: 1, inference_node_id: 'node-1' })
  const { average_inference_time } = await stats(service)
  expect(average_inference_time).toBe(7)
  await service.stop()
  const again = await startService({ database_path: service.file })
  expect((await stats(again)).average_inference_time).toBeCloseTo(average_inference_time ?? 0, 6)
})

test('uptime_seconds counts from the start of this process, in whole seconds', async () => {
  const time = fakeTime()
  const service = await startService({}, time)
  expect((await stats(service)).uptime_seconds).toBe(0)
  await time.pass(service, 2.5)
  expect((await stats(service)).uptime_seconds).toBe(2)
})

test('a healthy service says so', async () => {
  const service = await startService()
  const answer = await service.get('/health')
  expect(answer.status).toBe(200)
  expect(answer.body).toEqual({
    success: true,
    data: { status: 'healthy', timestamp: expect.any(Number) },
    error: null,
  })
})

test('while the store cannot be written, health is 503 with the reason, nothing is taken, and what is read is what was committed', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  const locker = new Database(service.file)
  onTestFinished(() => void locker.close())
  locker.exec('BEGIN IMMEDIATE')
  const unhealthy = await until(async () => {
    const health = await service.get('/health')
    return health.status === 503 ? health : null
  }, 'health being 503')
  expect(unhealthy.body).toMatchObject({
    success: false,
    data: { status: 'unhealthy', timestamp: expect.any(Number) },
    error: expect.stringMatching(/database/),
  })
  for (const answer of [
    await service.post('/api/v1/tasks', task({ task_id: 'new' })),
    await service.post('/api/v1/tasks/batch', { tasks: [task()] }),
    await service.register('node-2'),
    await service.post('/api/v1/nodes/heartbeat', { node_id: 'node-1', status: 'maintenance' }),
    await service.get('/api/v1/nodes/node-1/tasks'),
    await service.post('/api/v1/tasks/complete', {
      task_id: id,
      output: 'o',
      confidence: 1,
      inference_node_id: 'node-1',
    }),
  ]) {
    expect(answer.status).toBe(503)
    expect(answer.body).toMatchObject({
      success: false,
      data: null,
      code: 'unavailable',
      error: expect.stringMatching(/database/),
    })
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  }
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 0 })
  expect((await service.get('/api/v1/tasks/new/status')).status).toBe(404)
  expect(await stats(service)).toMatchObject({ total_tasks: 1, pending_tasks: 1, total_nodes: 1 })
  expect((await service.get('/api/v1/nodes')).body?.data).toMatchObject([{ node_id: 'node-1', status: 'online' }])

  locker.exec('ROLLBACK')
  await until(async () => (await service.get('/health')).status === 200, 'health being back')
  expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 1 })
  expect(await stats(service)).toMatchObject(recount(service))
})

test('the tables and columns that other programs read have their names', async () => {
  const service = await startService()
  const columns = (table: string) =>
    inspect(service.file, (db) =>
      db.prepare<[], { name: string; pk: number }>(`SELECT name, pk FROM pragma_table_info('${table}')`).all(),
    )
  const tasks = columns('inference_tasks')
  expect(tasks.map((c) => c.name)).toEqual(
    expect.arrayContaining([
      'task_id',
      'user_address',
      'user_input',
      'context',
      'fee',
      'nonce',
      'infer_fee',
      'max_infer_time',
      'model_type',
      'status',
      'created_at',
      'updated_at',
      'output',
      'confidence',
      'completed_at',
      'inference_node_id',
    ]),
  )
  expect(tasks.filter((c) => c.pk > 0).map((c) => c.name)).toEqual(['task_id'])
  const nodes = columns('inference_nodes')
  expect(nodes.map((c) => c.name)).toEqual(
    expect.arrayContaining([
      'node_id',
      'endpoint',
      'public_key',
      'status',
      'supported_models',
      'performance_score',
      'last_heartbeat',
    ]),
  )
  expect(nodes.filter((c) => c.pk > 0).map((c) => c.name)).toEqual(['node_id'])
})
