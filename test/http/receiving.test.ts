import { expect, test } from 'vitest'
import { expectRefusal, JSON_TYPE } from '../support/raw-http.js'
import { openRaw, postText, requestText, statusesIn } from '../support/raw-connection.js'
import { batch, complete } from '../support/rest-calls.js'
import { startService, task } from '../support/service.js'
import { countTasks } from '../support/stored-state.js'

const MIB = 1024 * 1024
const counted = { count_loopback: true }

test('unfinished bodies count before they are read: what would be more than an address may have is refused', async () => {
  const service = await startService({ ...counted, max_receiving_bytes_per_address: 16 * MIB })
  const first = await openRaw(service, '127.0.0.2')
  first.send(postText(service, '/api/v1/tasks/batch', '{"tasks":', 15 * MIB))
  await service.get('/health')
  const second = await openRaw(service, '127.0.0.2')
  second.send(postText(service, '/api/v1/tasks/batch', '{"tasks":', 2 * MIB))
  const refused = await second.shows('max_receiving_bytes_per_address')
  expect(refused).toMatch(/^HTTP\/1\.1 429 [^]*\r\nRetry-After: 5\r\nConnection: close\r\n/)
  await second.closed
  // Another address has its own, and one whose connection breaks gives back what it took.
  const other = await openRaw(service, '127.0.0.3')
  other.send(postText(service, '/api/v1/tasks', JSON.stringify(task())))
  await other.shows('200 OK')
  first.socket.destroy()
  const third = await openRaw(service, '127.0.0.2')
  const body = JSON.stringify({ tasks: [task({ user_input: 'x'.repeat(2 * MIB) })] })
  await expect
    .poll(async () => {
      third.send(postText(service, '/api/v1/tasks/batch', body))
      return statusesIn(await third.shows('"success":'))
    })
    .toContain(200)
})

test('what all addresses send at once is bounded, for loopback too', async () => {
  const service = await startService({ max_receiving_bytes: 20 * MIB })
  const first = await openRaw(service)
  first.send(postText(service, '/api/v1/tasks/batch', '{', 16 * MIB))
  await service.get('/health')
  const large = task({ user_input: 'x'.repeat(2 * MIB) })
  const answer = await service.post('/api/v1/tasks', large)
  expectRefusal(answer, 503, 'unavailable', /on their way/)
  expect(answer.headers.get('retry-after')).toBe('5')
  // Large bodies leave some of it to small ones.
  expect((await service.post('/api/v1/tasks', task())).status).toBe(200)
  first.socket.destroy()
  await expect.poll(async () => (await service.post('/api/v1/tasks', large)).status).toBe(200)
})

test('a body that does not say how long it is counts as it grows', async () => {
  const service = await startService({ max_receiving_bytes: MIB, max_body_bytes: MIB, max_message_bytes: MIB })
  const chunked = { ...JSON_TYPE, 'Transfer-Encoding': 'chunked' }
  const first = await openRaw(service)
  const piece = `10000\r\n${'x'.repeat(65_536)}\r\n`
  first.send(requestText(service, 'POST', '/api/v1/tasks/batch', chunked, piece.repeat(12)))
  const second = await openRaw(service)
  second.send(requestText(service, 'POST', '/api/v1/tasks/batch', chunked, piece.repeat(12)))
  const texts = await Promise.any([first.shows('on their way'), second.shows('on their way')])
  expect(texts).toMatch(/^HTTP\/1\.1 503 /)
})

test('a body that comes byte by byte is taken as a whole, and costs no more than its bytes', async () => {
  const service = await startService()
  const connection = await openRaw(service)
  const json = JSON.stringify(task({ task_id: 'bytewise', user_input: 'é'.repeat(100_000) }))
  const chunks = [...Buffer.from(json)].map((byte) => Buffer.from([0x31, 0x0d, 0x0a, byte, 0x0d, 0x0a]))
  connection.send(requestText(service, 'POST', '/api/v1/tasks', { ...JSON_TYPE, 'Transfer-Encoding': 'chunked' }))
  connection.send(Buffer.concat([...chunks, Buffer.from('0\r\n\r\n')]))
  await connection.shows('200 OK')
  expect((await service.status('bytewise')).user_input).toBe('é'.repeat(100_000))
})

test('an address has a rate of bytes, whatever its requests are', async () => {
  const service = await startService({ ...counted, max_request_bytes_per_second: 10_000 })
  const large = task({ user_input: 'x'.repeat(60_000) })
  expect((await service.post('/api/v1/tasks', large)).status).toBe(200)
  expectRefusal(await service.post('/api/v1/tasks', large), 429, 'rate_limited', /max_request_bytes_per_second/)
  expect((await service.post('/api/v1/tasks', task())).status).toBe(200)
})

test('a batch counts as its entries, a list as 5 requests and the list of nodes as 10', async () => {
  const settings = { ...counted, max_requests_per_second: 1 }
  const rateOf = async (ask: (service: Awaited<ReturnType<typeof startService>>) => Promise<number>) => {
    const service = await startService(settings)
    return [await ask(service), await ask(service)]
  }
  const tasks = (n: number) => ({ tasks: Array.from({ length: n }, () => task()) })
  expect(await rateOf(async (s) => (await s.get('/api/v1/nodes')).status)).toEqual([200, 429])
  expect(await rateOf(async (s) => (await s.get('/api/v1/tasks?limit=1')).status)).toEqual([200, 200])
  expect(await rateOf(async (s) => (await s.get('/api/v1/tasks/nothing')).status)).toEqual([404, 404])
  expect(await rateOf(async (s) => (await s.post('/api/v1/tasks/batch', tasks(6))).status)).toEqual([200, 429])
  const service = await startService(settings)
  expect((await service.get('/api/v1/tasks?limit=1')).status).toBe(200)
  expect((await service.get('/api/v1/tasks?limit=1')).status).toBe(200)
  expect((await service.get('/api/v1/tasks?limit=1')).status).toBe(429)
})

test('only a batch may be as large as max_body_bytes; one task is refused before it is read', async () => {
  const service = await startService({ max_message_bytes: 16_384 })
  const most = 3 * 16_384 + 65_536
  const refuse = async (path: string, length: number) => {
    const connection = await openRaw(service)
    connection.send(postText(service, path, '{', length))
    expect(await connection.shows(/\}$/)).toMatch(/^HTTP\/1\.1 413 [^]*"code":"too_large"\}$/)
    await connection.closed
  }
  await refuse('/api/v1/tasks', most + 1)
  await refuse('/api/v1/tasks/submit', most + 1)
  await refuse('/api/v1/tasks/fail', 16_384 + 65_536 + 1)
  await refuse('/api/v1/nodes/register', 16_384 + 65_536 + 1)
  await refuse('/api/v1/nodes/heartbeat', 16_384 + 65_536 + 1)
  await refuse('/api/v1/tasks/batch', 16 * MIB + 1)
  const entries = Array.from({ length: 1000 }, () => task({ user_input: 'x'.repeat(10_000) }))
  expect(await batch(service, entries)).toHaveLength(1000)
  expect(countTasks(service)).toBe(1000)
})

test('what may be stored may be sent, in whatever way JSON writes it', async () => {
  const service = await startService({ max_output_bytes: 100_000, max_message_bytes: 200_000 })
  const escaped = (text: string) => [...text].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')
  const send = (path: string, body: object, text: string) =>
    service.send('POST', path, JSON.stringify({ ...body, X: 1 }).replace('"X":1', text), JSON_TYPE)
  await service.register('node-1')
  for (const text of ['\u0001'.repeat(100_000), 'é'.repeat(50_000), '你'.repeat(33_333)]) {
    const task_id = `t-${text.charCodeAt(0)}`
    const prompt = text.slice(0, text.charCodeAt(0) === 1 ? 32_000 : undefined) // it is pushed with six bytes each
    const { user_input: _, ...rest } = task({ task_id })
    expect(await send('/api/v1/tasks', rest, `"user_input":"${escaped(prompt)}"`)).toMatchObject({ status: 200 })
    await service.poll('node-1')
    const result = { task_id, confidence: 1, inference_node_id: 'node-1' }
    expect(await send('/api/v1/tasks/complete', result, `"output":"${escaped(text)}"`)).toMatchObject({ status: 200 })
    expect((await service.status(task_id)).result.output).toBe(text)
  }
  await service.submit({ task_id: 'over' })
  await service.poll('node-1')
  expect((await complete(service, 'node-1', 'over', { output: 'x'.repeat(100_001) })).status).toBe(413)
})

test('JSON beyond its bounds is refused with a sentence, over every route', async () => {
  const service = await startService()
  const send = (path: string, body: string) => service.send('POST', path, body, JSON_TYPE)
  for (const path of ['/api/v1/tasks', '/api/v1/tasks/batch', '/api/v1/tasks/complete', '/api/v1/nodes/register']) {
    expectRefusal(await send(path, '['.repeat(100_000)), 413, 'too_large', 'the body is nested deeper than 32 levels')
    expectRefusal(await send(path, `[${'{},'.repeat(150_000)}{}]`), 413, 'too_large', 'more than 100000 values')
    expectRefusal(await send(path, `{"fee":${'9'.repeat(2 * MIB)}}`), 413, 'too_large', 'numbers of more than')
    expectRefusal(await send(path, `{"fee":1${' '.repeat(2 * MIB)}`), 400, 'invalid_request', 'is not valid JSON')
  }
})

test('a body that waits for leave to come is not asked for when it is refused', async () => {
  const service = await startService()
  const expecting = { ...JSON_TYPE, Expect: '100-continue' }
  const body = JSON.stringify(task())
  const taken = await openRaw(service)
  taken.send(requestText(service, 'POST', '/api/v1/tasks', { ...expecting, 'Content-Length': body.length }))
  await taken.shows('HTTP/1.1 100 Continue')
  taken.send(body)
  await taken.shows('200 OK')
  expect(statusesIn(taken.text())).toEqual([100, 200])
  const refused = await openRaw(service)
  refused.send(requestText(service, 'POST', '/api/v1/tasks', { ...expecting, 'Content-Length': 17 * MIB }))
  await refused.closed
  expect(statusesIn(refused.text())).toEqual([413])
})
