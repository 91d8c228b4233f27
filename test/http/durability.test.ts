import { expect, test } from 'vitest'
import { inspect, startService, task } from '../support/service.js'
import { batch } from '../support/rest-calls.js'

test('a result is in the file before its answer comes', async () => {
  const service = await startService()
  await service.register('node-1')
  const statusInFile = (id: string) =>
    inspect(service.file, (db) => db.prepare('SELECT status FROM inference_tasks WHERE task_id = ?').pluck().get(id))
  const id = await service.submit()
  expect(statusInFile(id)).toBe('pending')
  await service.poll('node-1')
  expect(statusInFile(id)).toBe('in_progress')
  await service.post('/api/v1/tasks/complete', { task_id: id, output: 'o', confidence: 1, inference_node_id: 'node-1' })
  expect(statusInFile(id)).toBe('completed')
})

test('what a node has declared is in the file before the answer comes', async () => {
  const service = await startService()
  await service.register('node-1')
  await service.post('/api/v1/nodes/heartbeat', { node_id: 'node-1', status: 'maintenance' })
  expect((await service.get('/api/v1/nodes')).body?.data).toMatchObject([{ status: 'maintenance' }])
  expect(inspect(service.file, (db) => db.prepare('SELECT status FROM inference_nodes').pluck().get())).toBe(
    'maintenance',
  )
})

test('a submission is in the file when its answer comes, and so is a whole batch', async () => {
  const service = await startService()
  const id = await service.submit()
  const inFile = () =>
    inspect(service.file, (db) => db.prepare('SELECT task_id FROM inference_tasks ORDER BY rowid').pluck().all())
  expect(inFile()).toEqual([id])
  const results = await batch(service, [task(), task(), task()])
  expect(inFile()).toEqual([id, ...results.map((r) => 'task_id' in r && r.task_id)])
})
