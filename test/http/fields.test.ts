import { expect, test } from 'vitest'
import { expectRefusal, JSON_TYPE } from '../support/raw-http.js'
import { startService, task } from '../support/service.js'

test('unknown extra fields are ignored, as deep as JSON may be nested', async () => {
  const service = await startService()
  const extra = {
    extra: { a: [1, { b: null }] },
    __proto: 1,
    constructor: 'x',
    toString: 5,
    status: 'completed',
    attempt: 9,
    queue_rank: 1e9,
  }
  expect((await service.register('node-1', { ...extra, status: 'maintenance', key_proven: 1 })).status).toBe(200)
  expect(
    (await service.post('/api/v1/nodes/heartbeat', { node_id: 'node-1', ...extra, status: 'online' })).status,
  ).toBe(200)
  const id = await service.submit(extra)
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 0, result: null })
  // The same content with other extras is the same submission.
  expect((await service.post('/api/v1/tasks', task({ task_id: id, other: 1 }))).body?.data).toEqual({ task_id: id })
  const deep = (levels: number) =>
    JSON.stringify(task({ task_id: 'deep', more: 'X' })).replace('"X"', '['.repeat(levels) + ']'.repeat(levels))
  expect((await service.send('POST', '/api/v1/tasks', deep(31), JSON_TYPE)).status).toBe(200)
  expectRefusal(await service.send('POST', '/api/v1/tasks', deep(32), JSON_TYPE), 413, 'too_large', /32 levels/)
  await service.poll('node-1')
  expect(
    (
      await service.post('/api/v1/tasks/complete', {
        task_id: id,
        output: 'o',
        confidence: 1,
        inference_node_id: 'node-1',
        ...extra,
      })
    ).status,
  ).toBe(200)
  expect(await service.status(id)).toMatchObject({ status: 'completed' })
})

test('a field named like a part of every object does not reach into it', async () => {
  const service = await startService()
  const body = JSON.stringify(task({ task_id: 'proto', X: 1 })).replace(
    '"X":1',
    '"__proto__":{"fee":7,"is_encrypted":true}',
  )
  expect((await service.send('POST', '/api/v1/tasks', body, JSON_TYPE)).status).toBe(200)
  expect(await service.status('proto')).toMatchObject({ fee: 0 })
})

test('times are Unix seconds as integers', async () => {
  const service = await startService()
  const first = Math.floor(Date.now() / 1000)
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  await service.post('/api/v1/tasks/complete', { task_id: id, output: 'o', confidence: 1, inference_node_id: 'node-1' })
  const t = await service.status(id)
  const node = (await service.get('/api/v1/nodes')).body?.data[0]
  const health = (await service.get('/health')).body?.data
  const last = Math.floor(Date.now() / 1000)
  for (const time of [
    t.created_at,
    t.updated_at,
    t.result.completed_at,
    node.last_heartbeat,
    health.timestamp,
  ] as number[]) {
    expect(Number.isInteger(time)).toBe(true)
    expect(time).toBeGreaterThanOrEqual(first)
    expect(time).toBeLessThanOrEqual(last)
  }
})
