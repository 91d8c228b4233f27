import { ECDH } from 'node:crypto'
import { expect, test } from 'vitest'
import { identity } from '../support/identity.js'
import { connectNode, dial, hello } from '../support/node-session.js'
import { inspect, type Service, startService, task } from '../support/service.js'
import { until } from '../support/wait.js'

const nodeOf = async (service: Service, nodeId: string) =>
  ((await service.get('/api/v1/nodes')).body?.data as Record<string, unknown>[]).find((n) => n.node_id === nodeId)
const statusOf = async (service: Service, nodeId: string) => (await nodeOf(service, nodeId))?.status
const isNow = (service: Service, nodeId: string, status: string) =>
  until(async () => (await statusOf(service, nodeId)) === status, `${nodeId} being ${status}`)
const heartbeat = (service: Service, node_id: string, status: string) =>
  service.post('/api/v1/nodes/heartbeat', { node_id, status })
const complete = (service: Service, inference_node_id: string, task_id: string, output = 'out') =>
  service.post('/api/v1/tasks/complete', { task_id, output, confidence: 0.85, inference_node_id })
const rows = (service: Service) =>
  inspect(service.file, (db) =>
    db.prepare<[], Record<string, unknown>>('SELECT * FROM inference_nodes ORDER BY node_id').all(),
  )

test('a node that registers is listed with what it said, and with the defaults for the rest', async () => {
  const service = await startService()
  const body = {
    node_id: 'node-001',
    endpoint: 'http://192.168.1.100:5000',
    public_key: '03a1b2c3...',
    supported_models: ['deepseek', 'llama'],
  }
  const answer = await service.post('/api/v1/nodes/register', body)
  expect(answer.status).toBe(200)
  expect(answer.body?.data).toBe('Node registered successfully')
  await service.post('/api/v1/nodes/register', {
    ...body,
    node_id: 'node-002',
    performance_score: 0,
    node_address: 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM',
    max_concurrent_tasks: 4,
  })
  const nodes = (await service.get('/api/v1/nodes')).body?.data
  expect(nodes).toEqual([
    expect.objectContaining({
      ...body,
      status: 'online',
      performance_score: 1,
      transport: 'rest',
      last_heartbeat: expect.any(Number),
      max_concurrent_tasks: 1,
      in_progress_tasks: 0,
    }),
    expect.objectContaining({
      ...body,
      node_id: 'node-002',
      performance_score: 0,
      node_address: 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM',
      max_concurrent_tasks: 4,
    }),
  ])
  expect(rows(service)).toMatchObject([
    {
      node_id: 'node-001',
      endpoint: body.endpoint,
      public_key: body.public_key,
      status: 'online',
      supported_models: '["deepseek","llama"]',
      performance_score: 1,
    },
    { performance_score: 0 },
  ])
})

test('the list of nodes is an empty array at first', async () => {
  const service = await startService()
  expect((await service.get('/api/v1/nodes')).body).toEqual({ success: true, data: [], error: null })
})

test('registering again with the same key updates the node and makes it online', async () => {
  const service = await startService()
  await service.register('node-1', { performance_score: 0.5, max_concurrent_tasks: 3, endpoint: 'http://old' })
  for (const status of ['maintenance', 'offline', 'busy']) {
    await heartbeat(service, 'node-1', status)
    expect(await statusOf(service, 'node-1')).toBe(status)
    expect(
      (
        await service.register('node-1', {
          endpoint: `http://${status}`,
          supported_models: ['gemma'],
          performance_score: 0.7,
        })
      ).status,
    ).toBe(200)
    expect(await nodeOf(service, 'node-1')).toMatchObject({
      status: 'online',
      endpoint: `http://${status}`,
      supported_models: ['gemma'],
      performance_score: 0.7,
      max_concurrent_tasks: 1,
    })
  }
  const id = await service.submit({ model_name: 'gemma-2b' })
  expect(await service.poll('node-1')).toMatchObject({ task_id: id })
  expect((await service.get('/api/v1/nodes')).body?.data).toHaveLength(1)
})

test('registering again does not lose the task that the node holds', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  await service.register('node-1')
  expect(await nodeOf(service, 'node-1')).toMatchObject({ status: 'busy', in_progress_tasks: 1 })
  expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 1 })
  expect((await complete(service, 'node-1', id)).status).toBe(200)
})

test('registering with another key is 409 and changes nothing, be the keys placeholders or valid', async () => {
  const service = await startService()
  const [a, b] = [identity('a').publicKey, identity('b').publicKey]
  await service.register('placeholder', { public_key: '03a1b2c3...' })
  await service.register('valid', { public_key: a })
  await heartbeat(service, 'valid', 'maintenance')
  const before = (await service.get('/api/v1/nodes')).body?.data
  for (const [node, keys] of [
    ['placeholder', ['03A1B2C3...', 'other', a]],
    ['valid', [b, '03a1b2c3...', `${a}00`]],
  ] as const) {
    for (const public_key of keys) {
      const answer = await service.register(node, { public_key, endpoint: 'http://thief', supported_models: ['gemma'] })
      expect(answer.status).toBe(409)
      expect(answer.body).toMatchObject({
        success: false,
        code: 'conflict',
        error: expect.stringMatching(/^public_key: /),
      })
    }
  }
  expect((await service.get('/api/v1/nodes')).body?.data).toEqual(before)
})

test('a key in another spelling is the same key, and stays stored as given', async () => {
  const service = await startService()
  const key = identity('a').publicKey
  await service.register('node-1', { public_key: key.toUpperCase() })
  const uncompressed = ECDH.convertKey(key, 'secp256k1', 'hex', 'hex', 'uncompressed').toString()
  for (const public_key of [key, `0x${key}`, uncompressed])
    expect((await service.register('node-1', { public_key })).status).toBe(200)
  expect(await nodeOf(service, 'node-1')).toMatchObject({ public_key: key.toUpperCase() })
})

test('a placeholder is replaced by the first key that a signed hello proves, and unsigned calls are 403 from then on', async () => {
  const service = await startService()
  const { publicKey } = identity('node-1')
  await service.register('node-1', { public_key: 'placeholder' })
  const id = await service.submit()
  const ended = await service.submit()
  expect(await service.poll('node-1')).toMatchObject({ task_id: id })
  const session = await connectNode(service, 'node-1', { running: [{ task_id: id, attempt: 1 }] })
  expect(session.welcome.resumed).toEqual([{ task_id: id, attempt: 1 }])
  expect(await nodeOf(service, 'node-1')).toMatchObject({ public_key: publicKey, transport: 'websocket' })

  const unsigned = async () => [
    await service.register('node-1', { public_key: publicKey }),
    await heartbeat(service, 'node-1', 'offline'),
    await service.get('/api/v1/nodes/node-1/tasks'),
    await complete(service, 'node-1', id),
    await complete(service, 'node-1', 'unknown'),
    await service.post('/api/v1/tasks/fail', { task_id: id, inference_node_id: 'node-1', error: 'no' }),
  ]
  const refusals = await unsigned()
  session.complete({ task_id: id, attempt: 1 })
  await session.next('task.settled')
  session.close()
  await session.closed
  for (const answer of [...refusals, ...(await unsigned())])
    expect({ status: answer.status, code: answer.body?.code }).toEqual({ status: 403, code: 'forbidden' })
  // Over REST another key is always 409, also the one it had before.
  for (const public_key of ['placeholder', identity('thief').publicKey])
    expect((await service.register('node-1', { public_key })).status).toBe(409)
  expect(await nodeOf(service, 'node-1')).toMatchObject({ public_key: publicKey })
  expect(await service.status(id)).toMatchObject({ status: 'completed', result: { output: 'Paris' } })
  expect(await service.status(ended)).toMatchObject({ result: null })

  const thief = await dial(service)
  thief.say(hello(service, 'node-1', (await thief.next('session.challenge')).nonce, {}, identity('thief')))
  expect((await thief.closed).code).toBe(4403)
  expect(await nodeOf(service, 'node-1')).toMatchObject({ public_key: publicKey })
})

test('a node that has proven its key stays behind it after a restart', async () => {
  const first = await startService()
  const session = await connectNode(first, 'node-1')
  session.close()
  await session.closed
  await first.stop()
  const second = await startService({ database_path: first.file })
  expect((await heartbeat(second, 'node-1', 'online')).status).toBe(403)
  expect((await second.register('node-1', { public_key: 'placeholder' })).status).toBe(409)
})

test('a valid key that was registered is proven only by itself, and until then unsigned calls are served', async () => {
  const service = await startService()
  await service.register('node-1', { public_key: identity('node-1').publicKey })
  expect((await heartbeat(service, 'node-1', 'online')).status).toBe(200)
  const thief = await dial(service)
  thief.say(hello(service, 'node-1', (await thief.next('session.challenge')).nonce, {}, identity('thief')))
  expect(await thief.next('error')).toMatchObject({ code: 'key_mismatch' })
  expect((await thief.closed).code).toBe(4403)
  expect(await service.poll('node-1')).toBeNull()
  await connectNode(service, 'node-1')
  expect((await heartbeat(service, 'node-1', 'online')).status).toBe(403)
})

test('max_concurrent_tasks is 1 to 1,024, or to what the operator allows', async () => {
  const service = await startService()
  for (const n of [1, 2, 1024]) expect((await service.register('node-1', { max_concurrent_tasks: n })).status).toBe(200)
  for (const n of [0, 1025]) expect((await service.register('node-1', { max_concurrent_tasks: n })).status).toBe(400)
  expect(await nodeOf(service, 'node-1')).toMatchObject({ max_concurrent_tasks: 1024 })
  const small = await startService({ max_node_slots: 2 })
  expect((await small.register('node-1', { max_concurrent_tasks: 2 })).status).toBe(200)
  expect((await small.register('node-1', { max_concurrent_tasks: 3 })).status).toBe(400)
})

test('a heartbeat sets the status of a node', async () => {
  const service = await startService()
  await service.register('node-1')
  for (const status of ['busy', 'maintenance', 'offline', 'online']) {
    const answer = await heartbeat(service, 'node-1', status)
    expect(answer.status).toBe(200)
    expect(answer.body?.data).toBe('Heartbeat received')
    expect(await statusOf(service, 'node-1')).toBe(status)
  }
})

test('a poll answers with exactly the documented fields', async () => {
  const service = await startService()
  await service.register('node-1')
  const a = await service.submit({
    user_input: 'q',
    context: 'c',
    infer_fee: '77',
    max_infer_time: 9,
    model_name: 'Llama-3-8B',
    signed_tx: '0xab',
  })
  const polled = await service.poll('node-1')
  expect(polled).toEqual({
    task_id: a,
    user_input: 'q',
    context: 'c',
    model_name: 'Llama-3-8B',
    model_type: 'llama',
    max_infer_time: 9,
    infer_fee: 77,
    signed_tx: '0xab',
    status: 'in_progress',
    created_at: expect.any(Number),
    attempt: 1,
  })
  expect(await service.status(a)).toMatchObject({ status: 'in_progress', created_at: polled.created_at, attempts: 1 })
  await complete(service, 'node-1', a)
  await service.submit()
  expect(await service.poll('node-1')).toMatchObject({ signed_tx: null, context: '' })
})

test('a poll is 204 when nothing waits for this node, and 404 for a node that nobody knows', async () => {
  const service = await startService()
  await service.register('node-1', { supported_models: ['gemma'] })
  await service.register('none', { supported_models: [] })
  await service.submit({ model_name: 'llama-3' })
  expect(await service.poll('node-1')).toBeNull()
  expect(await service.poll('none')).toBeNull()
  const unknown = await service.get('/api/v1/nodes/nobody/tasks')
  expect({ status: unknown.status, code: unknown.body?.code }).toEqual({ status: 404, code: 'node_not_registered' })
})

test('a task that one node polled is given to no other, however many poll at once', async () => {
  const service = await startService()
  const nodes = Array.from({ length: 12 }, (_, i) => `node-${i}`)
  await Promise.all(nodes.map((n) => service.register(n)))
  const ids = (
    await service.post('/api/v1/tasks/batch', { tasks: Array.from({ length: 8 }, () => task()) })
  ).body?.data.results.map((r: { task_id: string }) => r.task_id) as string[]
  const got = (await Promise.all(nodes.map((n) => service.poll(n))))
    .filter((t) => t !== null)
    .map((t) => t.task_id as string)
  expect(got.toSorted()).toEqual(ids.toSorted())
})

test('a node with one slot that polls many times at once gets one task, in one attempt', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  const other = await service.submit()
  const answers = await Promise.all(Array.from({ length: 5 }, () => service.poll('node-1')))
  for (const t of answers) expect(t).toMatchObject({ task_id: id, attempt: 1 })
  expect(await service.status(other)).toMatchObject({ status: 'pending', attempts: 0 })
})

test('an attempt is handed out five times, then it counts as failed on that node', async () => {
  const service = await startService({ max_attempts: 2 })
  await service.register('node-1')
  await service.register('node-2')
  const id = await service.submit({ infer_fee: 9 })
  for (let i = 0; i < 5; i++) expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 1 })
  expect(await service.status(id)).toMatchObject({ status: 'in_progress', attempts: 1 })
  // Another node can serve it, so the one that skipped it goes on with the next.
  const next = await service.submit({ infer_fee: 1 })
  expect(await service.poll('node-1')).toMatchObject({ task_id: next, attempt: 1 })
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 1, error: null })
  expect(inspect(service.file, (db) => db.prepare('SELECT end FROM attempts WHERE task_id = ?').pluck().get(id))).toBe(
    'failed',
  )
  for (let i = 0; i < 5; i++) expect(await service.poll('node-2')).toMatchObject({ task_id: id, attempt: 2 })
  expect(await service.poll('node-2')).toBeNull()
  expect(await service.status(id)).toMatchObject({
    status: 'failed',
    attempts: 2,
    error: expect.stringMatching(/5 times/),
    result: null,
  })
})

test('a task that was skipped by the only node that serves it is given to it again, as another attempt', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  for (const attempt of [1, 2, 3]) {
    for (let i = 0; i < 5; i++) expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt })
  }
  expect(await service.poll('node-1')).toBeNull()
  expect(await service.status(id)).toMatchObject({ status: 'failed', attempts: 3 })
})

test('a result that comes after the attempt was skipped five times is still taken', async () => {
  const service = await startService()
  await service.register('node-1')
  await service.register('node-2')
  const id = await service.submit()
  for (let i = 0; i < 5; i++) await service.poll('node-1')
  expect(await service.poll('node-1')).toBeNull()
  expect(await service.poll('node-2')).toMatchObject({ task_id: id, attempt: 2 })
  expect((await complete(service, 'node-1', id, 'late')).status).toBe(200)
  expect(await service.status(id)).toMatchObject({
    status: 'completed',
    result: { output: 'late', inference_node_id: 'node-1' },
  })
  expect((await complete(service, 'node-2', id, 'later')).status).toBe(409)
  expect(await nodeOf(service, 'node-2')).toMatchObject({ in_progress_tasks: 0, status: 'online' })
})

test('a node with more slots gets a task for each, and then again the oldest one it holds', async () => {
  const service = await startService()
  await service.register('node-1', { max_concurrent_tasks: 3 })
  const ids: string[] = []
  for (let i = 0; i < 4; i++) ids.push(await service.submit())
  for (const id of ids.slice(0, 3)) expect(await service.poll('node-1')).toMatchObject({ task_id: id })
  expect(await service.poll('node-1')).toMatchObject({ task_id: ids[0], attempt: 1 })
  await complete(service, 'node-1', ids[0] ?? '')
  expect(await service.poll('node-1')).toMatchObject({ task_id: ids[3], attempt: 1 })
  expect(await service.poll('node-1')).toMatchObject({ task_id: ids[1], attempt: 1 })
})

test('a node that says what it has is answered first what it misses', async () => {
  const service = await startService()
  await service.register('node-1', { max_concurrent_tasks: 3 })
  const [a, b, c] = [await service.submit(), await service.submit(), await service.submit()]
  await service.poll('node-1')
  await service.poll('node-1')
  expect(await service.poll('node-1', [a])).toMatchObject({ task_id: b, attempt: 1 })
  expect(await service.poll('node-1', [])).toMatchObject({ task_id: a, attempt: 1 })
  expect(await service.poll('node-1', ['unknown', b])).toMatchObject({ task_id: a, attempt: 1 })
  expect(await service.poll('node-1', [b, a])).toMatchObject({ task_id: c, attempt: 1 })
  expect(await service.poll('node-1', [c, b, a])).toBeNull()
  expect(await service.poll('node-1', [c, a])).toMatchObject({ task_id: b, attempt: 1 })
})

test('a node that names what it has is never handed it again, so that it does not run out of handouts', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  for (let i = 0; i < 10; i++) expect(await service.poll('node-1', [id])).toBeNull()
  expect((await complete(service, 'node-1', id)).status).toBe(200)
  expect(await service.status(id)).toMatchObject({ attempts: 1 })
})

test('a declared maintenance or offline gets 204 and lasts through polls, until a heartbeat or register ends it', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  for (const status of ['maintenance', 'offline']) {
    await heartbeat(service, 'node-1', status)
    for (let i = 0; i < 3; i++) expect(await service.poll('node-1')).toBeNull()
    expect(await statusOf(service, 'node-1')).toBe(status)
    if (status === 'maintenance') await heartbeat(service, 'node-1', 'online')
    else await service.register('node-1')
    expect(await statusOf(service, 'node-1')).toBe('online')
  }
  expect(await service.poll('node-1')).toMatchObject({ task_id: id, attempt: 1 })
  await heartbeat(service, 'node-1', 'maintenance')
  expect(await service.poll('node-1')).toBeNull() // nothing is answered again either
  expect((await complete(service, 'node-1', id)).status).toBe(200) // what it has it may still finish
})

test('a node that declares itself busy is served when it polls all the same', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  await heartbeat(service, 'node-1', 'busy')
  expect(await service.poll('node-1')).toMatchObject({ task_id: id })
})

test('a node that holds nothing and is silent is offline, and its next call brings it back and is served', async () => {
  const service = await startService({ node_timeout: 0.3 })
  const calls: Record<string, () => Promise<unknown>> = {
    poll: () => service.poll('node-1'),
    heartbeat: () => heartbeat(service, 'node-1', 'online'),
    register: () => service.register('node-1'),
    complete: () => complete(service, 'node-1', done),
  }
  await service.register('node-1')
  const done = await service.submit()
  await service.poll('node-1')
  await complete(service, 'node-1', done)
  for (const [name, call] of Object.entries(calls)) {
    await isNow(service, 'node-1', 'offline')
    await call()
    // It may have been silent again for long by the time we ask, on a busy machine: then the next call shows it.
    await until(async () => {
      await call()
      return (await statusOf(service, 'node-1')) === 'online'
    }, `the node being back after ${name}`)
  }
  await isNow(service, 'node-1', 'offline')
  const id = await service.submit()
  expect(await service.poll('node-1')).toMatchObject({ task_id: id })
})

test('a maintenance that was declared is shown however silent the node is', async () => {
  const service = await startService({ node_timeout: 0.2 })
  await service.register('quiet')
  await heartbeat(service, 'quiet', 'maintenance')
  await service.register('later')
  await isNow(service, 'later', 'offline')
  expect(await statusOf(service, 'quiet')).toBe('maintenance')
})

test('a polling node that holds a task is busy however silent, until max_infer_time is over', async () => {
  const service = await startService({ node_timeout: 0.2 })
  await service.register('one', { max_concurrent_tasks: 1 })
  await service.register('two', { max_concurrent_tasks: 2 })
  await service.submit({ max_infer_time: 60 })
  await service.submit({ max_infer_time: 60 })
  await service.poll('one')
  await service.poll('two')
  await service.register('idle')
  await isNow(service, 'idle', 'offline') // and so the others have been silent for longer
  expect(await statusOf(service, 'one')).toBe('busy')
  expect(await statusOf(service, 'two')).toBe('busy')
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
    active_nodes: 2,
    busy_nodes: 2,
    offline_nodes: 1,
  })
})

test('an attempt that outlives max_infer_time on a node that has been silent for longer than node_timeout is queued again', async () => {
  const service = await startService({ node_timeout: 0.3 })
  await service.register('node-1')
  const id = await service.submit({ max_infer_time: 1 })
  await service.poll('node-1')
  expect(await service.reaches(id, 'pending')).toMatchObject({ attempts: 1, error: null, result: null })
  expect(await statusOf(service, 'node-1')).toBe('offline')
  expect(inspect(service.file, (db) => db.prepare('SELECT end FROM attempts WHERE task_id = ?').pluck().get(id))).toBe(
    'lost',
  )
  await service.register('node-2')
  expect(await service.poll('node-2')).toMatchObject({ task_id: id, attempt: 2 })
  // It comes back with the result after all: the first valid one wins.
  expect((await complete(service, 'node-1', id, 'late')).status).toBe(200)
  expect(await service.status(id)).toMatchObject({
    status: 'completed',
    attempts: 2,
    result: { output: 'late', inference_node_id: 'node-1' },
  })
})

test('an attempt that outlives max_infer_time on a node that is heard of is a timeout', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit({ max_infer_time: 1 })
  await service.poll('node-1')
  expect(await service.reaches(id, 'timeout')).toMatchObject({
    attempts: 1,
    error: expect.stringMatching(/max_infer_time/),
    result: null,
  })
  expect((await complete(service, 'node-1', id)).status).toBe(409)
  expect(await nodeOf(service, 'node-1')).toMatchObject({ status: 'online', in_progress_tasks: 0 })
  expect(await service.poll('node-1')).toBeNull()
})

test('a lease from a poll survives a restart of the service', async () => {
  const first = await startService()
  await first.register('node-1')
  const id = await first.submit()
  await first.poll('node-1')
  await first.stop()
  const second = await startService({ database_path: first.file })
  expect(await nodeOf(second, 'node-1')).toMatchObject({ status: 'busy', in_progress_tasks: 1 })
  expect(await second.poll('node-1')).toMatchObject({ task_id: id, attempt: 1 })
  expect((await complete(second, 'node-1', id)).status).toBe(200)
  expect(await second.status(id)).toMatchObject({ status: 'completed', attempts: 1 })
})

test('a poll counts as a sign of life', async () => {
  const service = await startService()
  await service.register('node-1')
  const first = (await nodeOf(service, 'node-1'))?.last_heartbeat as number
  await until(async () => {
    await service.poll('node-1')
    return ((await nodeOf(service, 'node-1'))?.last_heartbeat as number) > first
  }, 'a newer last_heartbeat')
})

test('a node in session is listed as such, is busy when its slots are in use, and offline the moment its session ends', async () => {
  const service = await startService()
  const node = await connectNode(service, 'node-1', {
    endpoint: 'http://n',
    performance_score: 0.5,
    max_concurrent_tasks: 2,
  })
  expect(await nodeOf(service, 'node-1')).toMatchObject({
    endpoint: 'http://n',
    public_key: identity('node-1').publicKey,
    status: 'online',
    supported_models: ['llama'],
    performance_score: 0.5,
    transport: 'websocket',
    in_progress_tasks: 0,
    max_concurrent_tasks: 2,
  })
  await service.submit()
  await node.next('task.assign')
  expect(await nodeOf(service, 'node-1')).toMatchObject({ status: 'online', in_progress_tasks: 1 })
  const second = await service.submit()
  const assigned = await node.next('task.assign', { task_id: second })
  expect(await nodeOf(service, 'node-1')).toMatchObject({ status: 'busy', in_progress_tasks: 2 })
  node.complete(assigned)
  await node.next('task.settled')
  expect(await nodeOf(service, 'node-1')).toMatchObject({ status: 'online', in_progress_tasks: 1 })
  await node.beat('busy')
  expect(await statusOf(service, 'node-1')).toBe('busy')
  node.socket.terminate()
  await isNow(service, 'node-1', 'offline')
})

test('nothing is pushed to a node that is busy or in maintenance, until it is online again', async () => {
  const service = await startService()
  const node = await connectNode(service, 'node-1', { status: 'maintenance' })
  const id = await service.submit()
  await node.beat() // what was sent before its answer has come by now
  await node.beat('busy')
  await service.submit({ infer_fee: 1 })
  await node.beat()
  expect(node.inbox).toEqual([])
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 0 })
  await node.beat('online')
  expect(await node.next('task.assign')).toMatchObject({ task_id: id })
})

test('the family of a model is found in its name, whatever its case', async () => {
  const service = await startService({ families: { qwen: ['qwen', 'tongyi'] } })
  const families = {
    deepseek: ['deepseek', 'DeepSeek-R1', 'deepseek-r1-distill-llama-8b'],
    llama: ['llama', 'LLAMA', 'Meta-Llama-3-8B', 'codellama:7b'],
    mistral: ['mistral', 'Mistral-7B', 'mixtral-8x7b', 'open-MIXTRAL'],
    gemma: ['gemma', 'CodeGemma'],
    gptneox: ['gptneox', 'gpt-neox-20b', 'GPT-Neo-2.7B', 'gpt-j-6b', 'NeoX'],
    unknown: ['unknown', 'phi-3', 'gpt-4', 'x'],
    qwen: ['qwen', 'Qwen2.5-7B', 'tongyi-1'],
  }
  for (const [family, names] of Object.entries(families)) {
    for (const model_name of names)
      expect(await service.status(await service.submit({ model_name }))).toMatchObject({
        model_name,
        model_type: family,
      })
  }
})

test('a node gets the tasks of the families it lists, of the very models it lists, and no others', async () => {
  const service = await startService()
  const asked = [
    'llama',
    'llama-3-8b',
    'LLAMA-3-8B',
    'llama-2',
    'mixtral-8x7b',
    'mistral',
    'phi-3',
    'PHI-3',
    'phi-2',
    'unknown',
    'gemma-2',
  ]
  const served: [string[], string[]][] = [
    [['Llama'], ['llama', 'llama-3-8b', 'LLAMA-3-8B', 'llama-2']],
    [['Llama-3-8b'], ['llama', 'llama-3-8b', 'LLAMA-3-8B']],
    [['mistral'], ['mixtral-8x7b', 'mistral']],
    [['mixtral-8x7b'], ['mixtral-8x7b', 'mistral']],
    [['phi-3'], ['phi-3', 'PHI-3']],
    [['unknown'], ['unknown']],
    [
      ['phi-2', 'gemma'],
      ['phi-2', 'gemma-2'],
    ],
    [['phi'], []],
    [[], []],
  ]
  for (const [i, [supported_models, expected]] of served.entries()) {
    const node = `node-${i}`
    await service.register(node, { supported_models, max_concurrent_tasks: 20 })
    const tasks = asked.map((model_name, n) => task({ task_id: `${i}-${n}`, model_name }))
    await service.post('/api/v1/tasks/batch', { tasks })
    const got: string[] = []
    for (let t = await service.poll(node); t !== null; t = await service.poll(node)) got.push(t.model_name as string)
    expect(got.toSorted()).toEqual(expected.toSorted())
    // What is left would be served by the next node too: it is taken out of the way.
    await service.register('cleaner', {
      supported_models: asked.concat('gemma', 'mistral'),
      max_concurrent_tasks: 1024,
    })
    for (let t = await service.poll('cleaner'); t !== null; t = await service.poll('cleaner'));
  }
})
