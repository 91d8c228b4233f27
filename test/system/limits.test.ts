import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { isLoopback } from '../../src/lib/address.js'
import { createRate } from '../../src/lib/rate.js'
import { connectNode, dial } from '../support/node-session.js'
import { startService, type Service } from '../support/service.js'
import { sessionDoor } from '../support/session-door.js'
import { until } from '../support/wait.js'

test('loopback is told from every other address', () => {
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::FFFF:127.0.0.1'])
    expect(isLoopback(address), address).toBe(true)
  for (const address of ['128.0.0.1', '10.0.0.1', '192.0.2.7', '2001:db8::1', '::ffff:10.0.0.1'])
    expect(isLoopback(address), address).toBe(false)
})

test('a rate lets ten seconds of messages come at once, and then as many a second as it says', () => {
  let now = 0
  const within = createRate(5, () => now)
  const taken = (n: number) => Array.from({ length: n }, () => within()).filter(Boolean).length
  expect(taken(60)).toBe(50)
  now += 100_000
  expect(taken(60)).toBe(50)
})

test('too many requests of one address are answered 429 with Retry-After; loopback is not counted unless it is to be', async () => {
  const settings = { max_requests_per_second: 1 }
  const counted = await startService({ ...settings, count_loopback: true })
  const ask = async (service: Service, n: number) =>
    (await Promise.all(Array.from({ length: n }, () => service.get('/health')))).map((r) => r.status)
  expect((await ask(counted, 12)).sort()).toEqual([...Array<number>(10).fill(200), 429, 429])
  const refused = await counted.get('/health')
  expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
  expect(refused.body).toMatchObject({ success: false, data: null, code: 'rate_limited' })
  expect(await ask(await startService(settings), 12)).toEqual(Array(12).fill(200))
})

test('one address has a limited number of sessions, and a place is free again when one ends', async () => {
  const { sessions, host } = await sessionDoor({ maxSessionsPerAddress: 2 })
  const first = await dial({ host })
  const second = await dial({ host })
  await first.next('session.challenge')
  await second.next('session.challenge')
  const third = await dial({ host })
  expect(await third.closed).toMatchObject({ code: 1006 })
  first.close()
  await first.closed
  await until(() => sessions.size() === 1)
  expect(await (await dial({ host })).next('session.challenge')).toMatchObject({ protocol: 1 })
})

test('the service has a limited number of sessions', async () => {
  const service = await startService({ max_sessions: 1 })
  const node = await connectNode(service, 'node-1')
  expect(await (await dial(service)).closed).toMatchObject({ code: 1006 })
  node.close()
  await node.closed
  await until(async () => {
    const next = await dial(service)
    return (
      (await Promise.race([next.next('session.challenge').catch(() => null), next.closed.then(() => null)])) !== null
    )
  })
})

test('an output that is larger than what is stored is refused over both doors and changes nothing', async () => {
  const service = await startService({ max_output_bytes: 1024 })
  await service.register('poller')
  await service.submit({ task_id: 'polled' })
  await service.poll('poller')
  const complete = (output: string) =>
    service.post('/api/v1/tasks/complete', { task_id: 'polled', output, confidence: 1, inference_node_id: 'poller' })
  expect(await complete('é'.repeat(513))).toMatchObject({
    status: 413,
    body: { code: 'too_large', error: expect.stringContaining('1024') },
  })
  expect(await service.status('polled')).toMatchObject({ status: 'in_progress', result: null })
  expect((await complete('é'.repeat(512))).status).toBe(200)
  const node = await connectNode(service, 'node-1')
  await service.submit({ task_id: 'pushed' })
  const assigned = await node.next('task.assign')
  node.complete(assigned, 'x'.repeat(1025))
  expect(await node.next('error')).toMatchObject({
    code: 'invalid_message',
    task_id: 'pushed',
    attempt: 1,
    message: expect.stringContaining('1024'),
  })
  expect(await service.status('pushed')).toMatchObject({ status: 'in_progress' })
  node.complete(assigned, 'x'.repeat(1024))
  await node.next('task.settled')
})

test('a reader that does not accept gets no more than it could have read, and the rest goes to others', async () => {
  const service = await startService()
  const stuck = await connectNode(service, 'stuck', { max_concurrent_tasks: 64 })
  stuck.socket.pause()
  const prompt = 'p'.repeat(1024 * 1024)
  for (let i = 0; i < 20; i++) await service.submit({ task_id: `t${i}`, user_input: prompt })
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
    total_tasks: 20,
    processing_tasks: 8,
    pending_tasks: 12,
  })
  const reader = await connectNode(service, 'reader', { max_concurrent_tasks: 64 })
  for (let i = 0; i < 12; i++) {
    const assigned = await reader.next('task.assign')
    expect(assigned.user_input).toBe(prompt)
    reader.accept(assigned)
  }
  stuck.socket.resume()
  for (let i = 0; i < 8; i++) await stuck.next('task.assign')
})

test('a node with many slots is given many large tasks as fast as it accepts them, and keeps its session', async () => {
  const service = await startService()
  const tasks = 24
  for (let i = 0; i < tasks; i++) await service.submit({ user_input: 'p'.repeat(2 * 1024 * 1024) })
  const node = await connectNode(service, 'node-1', { max_concurrent_tasks: 64 })
  for (let i = 0; i < tasks; i++) node.accept(await node.next('task.assign'))
  await node.beat()
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ processing_tasks: tasks })
})

test('connections that were refused and never close are let go, and keep no stop waiting', async () => {
  const service = await startService()
  const [host, port] = service.host.split(':')
  const lines = [
    'GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'what is this\r\n\r\n',
  ]
  const sockets = await Promise.all(
    lines.map(async (text) => {
      const socket = connect({ host: host ?? '', port: Number(port), allowHalfOpen: true })
      socket.on('error', () => undefined)
      onTestFinished(() => void socket.destroy())
      socket.write(text)
      await once(socket, 'data')
      return socket
    }),
  )
  // Nobody ends these from this side; one that asks for nothing is still open when the service stops.
  const idle = connect({ host: host ?? '', port: Number(port), allowHalfOpen: true })
  idle.on('error', () => undefined)
  await once(idle, 'connect')
  await service.stop()
  for (const socket of [...sockets, idle]) socket.destroy()
})
