import { join } from 'node:path'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { createCoordinator, inferenceDefaults } from '../../src/coordinator.js'
import { Database } from '../../src/store/sqlite.js'
import { exchange, expectRefusal, rawExchange } from '../support/raw-http.js'
import { calm, serviceAt, startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

test('a success carries all three keys of the envelope and no other', async () => {
  const service = await startService()
  for (const answer of [
    await service.get('/health'),
    await service.register('node-1'),
    await service.post('/api/v1/tasks/submit', task()),
    await service.get('/api/v1/stats'),
    await service.get('/api/v1/nodes'),
  ]) {
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({ success: true, data: expect.anything(), error: null })
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  }
})

test('a 204 has no body at all and still a request id', async () => {
  const service = await startService()
  await service.register('node-1')
  const answer = await exchange(service, 'GET', '/api/v1/nodes/node-1/tasks')
  expect(answer.status).toBe(204)
  expect(answer.text).toBe('')
  expect(answer.headers['content-type']).toBeUndefined()
  expect(answer.headers['x-request-id']).toMatch(/./)
})

test('every answer carries a request id of its own', async () => {
  const service = await startService()
  const answers = await Promise.all([
    ...Array.from({ length: 20 }, () => service.get('/health')),
    service.get('/nowhere'),
    service.send('DELETE', '/api/v1/tasks'),
    service.post('/api/v1/tasks', {}),
    service.send('POST', '/api/v1/tasks', 'x', { 'content-type': 'text/plain' }),
    service.get('/api/v1/nodes/nobody/tasks'),
    service.get('/api/v1/nodes/connect'),
  ])
  const ids = answers.map((a) => a.headers.get('x-request-id'))
  for (const id of ids) expect(id).toMatch(/./)
  expect(new Set(ids).size).toBe(ids.length)
})

test('an answer to what is no valid HTTP request carries a request id and the envelope too', async () => {
  const service = await startService()
  for (const bytes of [
    'GARBAGE\r\n\r\n',
    'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n', // no Host
    'GET /health HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n',
    `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    'POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: many\r\n\r\n',
  ]) {
    const text = await rawExchange(service, bytes)
    const found = {
      status: /^HTTP\/1\.1 4\d\d /.test(text),
      id: /\r\nx-request-id: \S/i.test(text),
      envelope: text.includes('"success":false'),
    }
    expect.soft(found, `${bytes.slice(0, 60)} was answered ${text}`).toEqual({ status: true, id: true, envelope: true })
  }
})

test('an unknown route is 404, and a known one with another method is 405 with Allow', async () => {
  const service = await startService()
  for (const path of [
    '/nowhere',
    '/api',
    '/api/v1',
    '/api/v1/tasks/some-id/some-thing',
    '/api/v2/tasks',
    '/api/v1/stats/',
    '/api/v1/nodes/a/b/tasks',
    '/health/x',
    '/%00',
    '/%',
  ]) {
    expectRefusal(await service.get(path), 404, 'not_found', /./)
    expectRefusal(await service.post(path, {}), 404, 'not_found', /./)
  }
  expectRefusal(await service.post('/', {}), 405, 'method_not_allowed', /./)
  const gets = ['/', '/health', '/api/v1/stats', '/api/v1/nodes', '/api/v1/nodes/n/tasks', '/api/v1/tasks/t/status']
  const posts = [
    '/api/v1/nodes/register',
    '/api/v1/nodes/heartbeat',
    '/api/v1/tasks/submit',
    '/api/v1/tasks/batch',
    '/api/v1/tasks/complete',
    '/api/v1/tasks/fail',
  ]
  for (const [paths, methods, allowed] of [
    [gets, ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'], 'GET'],
    [posts, ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'], 'POST'],
  ] as const) {
    for (const path of paths) {
      for (const method of methods) {
        const answer = await service.send(method, path)
        expectRefusal(answer, 405, 'method_not_allowed', method)
        expect(answer.headers.get('allow')?.split(/, */)).toContain(allowed)
        expect(answer.headers.get('allow')?.split(/, */)).not.toContain(method)
      }
    }
  }
})

test('HEAD is answered like GET, without a body', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  for (const path of [
    '/health',
    '/api/v1/stats',
    '/api/v1/nodes',
    `/api/v1/tasks/${id}/status`,
    '/api/v1/tasks/unknown/status',
    '/nowhere',
  ]) {
    const answer = await exchange(service, 'HEAD', path)
    expect(answer.status).toBe((await service.get(path)).status)
    expect(answer.text).toBe('')
    expect(answer.headers['x-request-id']).toMatch(/./)
  }
  const refused = await exchange(service, 'HEAD', '/api/v1/tasks/submit')
  expect(refused).toMatchObject({ status: 405, text: '' })
  expect(refused.headers.allow).toBe('POST')
})

test('a poll with HEAD takes no lease: it is another method than the one that is allowed', async () => {
  const service = await startService()
  await service.register('node-1')
  const id = await service.submit()
  const refused = await exchange(service, 'HEAD', '/api/v1/nodes/node-1/tasks')
  expect(refused).toMatchObject({ status: 405, text: '' })
  expect(refused.headers.allow).toBe('GET')
  expect(await service.status(id)).toMatchObject({ status: 'pending', attempts: 0 })
})

test('a fault of the server itself is 500 with a request id that the log has next to the cause', async () => {
  const lines: string[] = []
  const database_path = join(tempDir(), 'inference.db')
  const coordinator = createCoordinator({
    settings: inferenceDefaults({ ...calm, database_path, api_port: 0 }),
    log: pino({ level: 'debug' }, { write: (line: string) => lines.push(line) }),
  })
  const { url } = await coordinator.listen()
  onTestFinished(() => coordinator.stop())
  const service = serviceAt(url)
  const db = new Database(database_path)
  onTestFinished(() => void db.close())
  db.exec(
    "CREATE TRIGGER fault BEFORE INSERT ON inference_tasks WHEN new.task_id = 'bad' BEGIN SELECT RAISE(ABORT, 'the inner cause'); END",
  )
  const [bad, good] = await Promise.all([
    service.post('/api/v1/tasks', task({ task_id: 'bad' })),
    service.post('/api/v1/tasks', task({ task_id: 'good' })),
  ])
  expect(bad.status).toBe(500)
  expect(bad.body).toMatchObject({ success: false, data: null, code: 'internal' })
  expect(JSON.stringify(bad.body)).not.toMatch(/inner cause|TRIGGER|SQLITE|at .*\.ts/)
  const requestId = bad.headers.get('x-request-id') ?? ''
  expect(bad.body?.error).toContain(requestId)
  expect(good.status).toBe(200) // what shared its commit is not touched by it
  expect(lines.join('')).toContain('the inner cause')
  expect(lines.filter((line) => line.includes(requestId))).not.toEqual([])
  expect((await service.get('/api/v1/tasks/bad/status')).status).toBe(404)
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ total_tasks: 1, pending_tasks: 1 })
})
