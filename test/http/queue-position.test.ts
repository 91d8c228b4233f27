import { expect, test } from 'vitest'
import { detailOf } from '../support/rest-calls.js'
import { startService } from '../support/service.js'
import { fileWith } from '../support/stored-state.js'

test('a waiting task says that no node serves its model, that none is online, that all are busy, or that it is next', async () => {
  const service = await startService()
  const why = async (id: string) => (await detailOf(service, id)).waiting
  await service.submit({ task_id: 'a' })
  expect(await why('a')).toMatchObject({ reason: 'no_node_for_model', position: 1 })
  await service.register('gemma', { supported_models: ['gemma'] })
  expect(await why('a')).toMatchObject({ reason: 'no_node_for_model' })
  await service.register('n')
  await service.post('/api/v1/nodes/heartbeat', { node_id: 'n', status: 'maintenance' })
  expect(await why('a')).toMatchObject({
    reason: 'no_node_online',
    explanation: expect.stringContaining('1 registered node'),
  })
  await service.post('/api/v1/nodes/heartbeat', { node_id: 'n', status: 'online' })
  expect(await why('a')).toMatchObject({ reason: 'next' })
  await service.poll('n')
  await service.submit({ task_id: 'b' })
  expect(await why('b')).toMatchObject({ reason: 'all_busy', position: 1 })
  await service.post('/api/v1/tasks/fail', { task_id: 'a', inference_node_id: 'n', error: 'x' })
  expect(await why('a')).toMatchObject({ reason: 'next', position: 1 }) // no other node could take it, so this one may
  expect(await why('b')).toMatchObject({ reason: 'next', position: 2 })
  await service.register('m')
  expect((await service.poll('m')).task_id).toBe('a')
  await service.register('k')
  await service.submit({ task_id: 'c', infer_fee: 9999 })
  expect((await service.poll('k')).task_id).toBe('c')
  await service.post('/api/v1/tasks/fail', { task_id: 'a', inference_node_id: 'm', error: 'x' })
  expect((await service.poll('m')).task_id).toBe('b')
  // n is free and has failed it, m has failed it and is busy, k would take it and is busy.
  expect(await why('a')).toMatchObject({ reason: 'waits_for_another_node' })
})

test('a waiting task says that the only node rests or is drained', async () => {
  const service = await startService()
  await service.register('n')
  await service.send('POST', '/api/v1/nodes/n/drain')
  await service.submit({ task_id: 'a' })
  expect((await detailOf(service, 'a')).waiting).toMatchObject({
    reason: 'no_node_online',
    explanation: expect.stringContaining('drained'),
  })
})

test('the position counts what goes before: higher fees, and older tasks of the same fee, of the same family', async () => {
  const service = await startService()
  const position = async (id: string): Promise<unknown> => (await detailOf(service, id)).waiting.position
  await service.submit({ task_id: 'cheap', infer_fee: 1 })
  await service.submit({ task_id: 'old', infer_fee: 5, model_name: 'llama-2' })
  await service.submit({ task_id: 'young', infer_fee: 5 })
  await service.submit({ task_id: 'dear', infer_fee: 9 })
  await service.submit({ task_id: 'other family', infer_fee: 100, model_name: 'gemma' })
  await service.submit({ task_id: 'strange', infer_fee: 1, model_name: 'strange-1' })
  await service.submit({ task_id: 'stranger', infer_fee: 100, model_name: 'strange-2' })
  expect(await Promise.all(['dear', 'old', 'young', 'cheap', 'strange'].map(position))).toEqual([1, 2, 3, 4, 1])
})

test('the position is exact up to a thousand and "1000+" beyond', async () => {
  // Half of the tasks pay more than the rest, so that both parts of the count matter.
  const service = await startService({
    database_path: fileWith(1_002, (i) => ({ status: 'pending', fee: i < 500 ? 1 : 2 })),
    max_queue_time: 0,
  })
  const position = async (id: string): Promise<unknown> => (await detailOf(service, id)).waiting.position
  expect(await position('t-500')).toBe(1)
  expect(await position('t-1001')).toBe(502)
  expect(await position('t-0')).toBe(503)
  expect(await position('t-497')).toBe(1000)
  expect(await position('t-498')).toBe('1000+')
  expect(await position('t-499')).toBe('1000+')
})
