import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { configFile, serviceChild } from '../support/child.js'
import { connectNode } from '../support/node-session.js'
import { startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'
import { Database } from '../../src/store/sqlite.js'

describe.runIf(process.platform === 'linux')('a full disk', () => {
  /** The largest file the process may write: the kernel refuses what goes beyond, as a full disk does. */
  const limitFiles = (pid: number, bytes: number | 'unlimited') =>
    execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`])

  test('refuses writes with 503, keeps reads and sessions, and recovers by itself', async () => {
    const file = join(tempDir(), 'inference.db')
    const service = await serviceChild(configFile(), ['--database', file])
    const pid = service.process.pid ?? 0
    const node = await connectNode(service, 'node-1')
    await service.submit({ task_id: 'before' })
    const assigned = await node.next('task.assign')
    node.accept(assigned)
    await node.beat()

    limitFiles(pid, statSync(`${file}-wal`).size)
    const refused = await service.post('/api/v1/tasks/submit', task({ task_id: 'refused' }))
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(refused.body).toMatchObject({
      success: false,
      data: null,
      code: 'unavailable',
      error: expect.stringContaining('cannot be written'),
    })
    expect(await service.get('/health')).toMatchObject({
      status: 503,
      body: { success: false, data: { status: 'unhealthy' }, error: expect.stringContaining('cannot be written') },
    })
    expect((await service.status('before')).status).toBe('in_progress')
    expect((await service.get('/api/v1/tasks/refused/status')).status).toBe(404)
    await node.beat()
    // A result that cannot be stored is not settled; the node is told to send it again.
    node.complete(assigned, 'kept by the node')
    expect(await node.next('error')).toMatchObject({ code: 'internal', task_id: 'before', attempt: 1 })

    limitFiles(pid, 'unlimited')
    await until(async () => (await service.get('/health')).status === 200, 'health')
    node.complete(assigned, 'kept by the node')
    expect(await node.next('task.settled')).toMatchObject({ task_id: 'before', status: 'completed' })
    await service.submit({ task_id: 'refused' })
    expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ total_tasks: 2, completed_tasks: 1 })
  })
})

test('while another program holds the write lock, writes are refused and reads go on', async () => {
  const service = await startService()
  await service.submit({ task_id: 'before' })
  const other = new Database(service.file)
  onTestFinished(() => void other.close())
  other.exec('BEGIN IMMEDIATE')
  const refused = await service.post('/api/v1/tasks/submit', task({ task_id: 'during' }))
  expect(refused).toMatchObject({ status: 503, body: { code: 'unavailable' } })
  expect(await service.status('before')).toMatchObject({ status: 'pending' })
  other.exec('ROLLBACK')
  await until(async () => (await service.get('/health')).status === 200, 'health')
  await service.submit({ task_id: 'during' })
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ total_tasks: 2, pending_tasks: 2 })
})

test('an operation that fails by itself fails alone: what shares its commit is stored', async () => {
  const service = await startService()
  const other = new Database(service.file)
  other.exec(
    `CREATE TRIGGER boom BEFORE INSERT ON inference_tasks WHEN new.user_address = 'boom' BEGIN SELECT RAISE(ABORT, 'boom'); END`,
  )
  other.close()
  const names = Array.from({ length: 20 }, (_, i) => (i % 7 === 3 ? 'boom' : `user-${i}`))
  const answers = await Promise.all(
    names.map((user_address, i) => service.post('/api/v1/tasks/submit', task({ task_id: `t${i}`, user_address }))),
  )
  expect(answers.map((a) => a.status)).toEqual(names.map((n) => (n === 'boom' ? 500 : 200)))
  expect(answers[3]?.body?.error).not.toContain('boom')
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ total_tasks: 17, pending_tasks: 17 })
  expect((await service.get('/health')).status).toBe(200)
})

test('a commit that fails takes back what memory took from it: nothing is assigned, counted or sent', async () => {
  const service = await startService()
  const node = await connectNode(service, 'node-1')
  const other = new Database(service.file)
  onTestFinished(() => void other.close())
  // Fails when the counters are written, at the end of the transaction: the submission and its assignment are in it.
  other.exec(`CREATE TRIGGER full BEFORE INSERT ON task_counts BEGIN SELECT RAISE(ABORT, 'full'); END`)
  expect((await service.post('/api/v1/tasks/submit', task({ task_id: 'undone' }))).status).toBe(503)
  other.exec('DROP TRIGGER full')
  await until(async () => (await service.get('/health')).status === 200, 'health')
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
    total_tasks: 0,
    online_nodes: 1,
    busy_nodes: 0,
  })
  await node.beat()
  expect(node.inbox).toEqual([])
  await service.submit({ task_id: 'done' })
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'done', attempt: 1 })
})

test('a client that hangs up in the middle of a body, or sends no HTTP at all, ends nothing', async () => {
  const service = await startService()
  const [host, port] = service.host.split(':')
  for (const text of [
    'POST /api/v1/tasks/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"a',
    'what is this\r\n\r\n',
    `GET /health HTTP/1.1\r\nHost: x\r\nX-Big: ${'a'.repeat(100_000)}\r\n\r\n`,
    'GET /api/v1/nodes/connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ]) {
    const socket = connect(Number(port), host)
    socket.on('error', () => undefined)
    socket.resume()
    const closed = once(socket, 'close')
    socket.end(text)
    await closed
  }
  expect((await service.get('/health')).status).toBe(200)
})
