import { ECDH } from 'node:crypto'
import { expect, test } from 'vitest'
import { identity } from '../support/identity.js'
import { connectNode, dial, hello } from '../support/node-session.js'
import { complete, heartbeat, nodeOf } from '../support/rest-calls.js'
import { inspect, type Service, startService } from '../support/service.js'

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
    expect((await nodeOf(service, 'node-1'))?.status).toBe(status)
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

test('a key that a signed hello proves is the key of the node, and unsigned calls are 403 from then on', async () => {
  const service = await startService()
  const { publicKey } = identity('node-1')
  await service.register('node-1', { public_key: publicKey })
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
