import { expect, test } from 'vitest'
import { openRaw, postText, requestText, statusesIn } from '../support/raw-connection.js'
import { complete } from '../support/rest-calls.js'
import { startService, task, type Service } from '../support/service.js'
import { countTasks } from '../support/stored-state.js'
import { until } from '../support/wait.js'

const MIB = 1024 * 1024

/** A task whose result has so many bytes. */
async function withResult(service: Service, bytes: number): Promise<string> {
  await service.register('node-1')
  const id = await service.submit()
  await service.poll('node-1')
  expect((await complete(service, 'node-1', id, { output: 'x'.repeat(bytes) })).status).toBe(200)
  return id
}
const statusText = (service: Service, id: string) => requestText(service, 'GET', `/api/v1/tasks/${id}/status`)

test('requests that are sent ahead are answered in order, 8 of them', async () => {
  const service = await startService()
  const id = await service.submit()
  const connection = await openRaw(service)
  const paths = ['/health', `/api/v1/tasks/${id}/status`, '/nowhere', '/api/v1/tasks/unknown/status', '/api/v1/stats']
  connection.send(
    paths.map((path) => requestText(service, 'GET', path)).join('') +
      postText(service, '/api/v1/tasks', JSON.stringify(task())) +
      postText(service, '/api/v1/tasks', '{}') +
      requestText(service, 'HEAD', '/health'),
  )
  await until(() => statusesIn(connection.text()).length === 8)
  expect(statusesIn(connection.text())).toEqual([200, 200, 404, 404, 200, 200, 400, 200])
  connection.send(requestText(service, 'GET', '/health'))
  await until(() => statusesIn(connection.text()).length === 9)
})

test('what is sent ahead of more than 8 answers is refused once, is not done, and ends the connection', async () => {
  const service = await startService()
  const connection = await openRaw(service)
  const post = (i: number) => postText(service, '/api/v1/tasks', JSON.stringify(task({ task_id: `t${i}` })))
  connection.send(Array.from({ length: 20 }, (_, i) => post(i)).join(''))
  await connection.closed
  expect(statusesIn(connection.text())).toEqual([...Array<number>(8).fill(200), 429])
  expect(connection.text()).toMatch(/429 [^]*\r\nRetry-After: 5\r\nConnection: close\r\n[^]*"code":"rate_limited"\}$/)
  expect(countTasks(service)).toBe(8)
})

test('a flood of requests ahead is cut off', async () => {
  const service = await startService()
  const connection = await openRaw(service)
  connection.send(requestText(service, 'GET', '/api/v1/stats').repeat(2000))
  await connection.closed
  expect(statusesIn(connection.text()).length).toBeLessThanOrEqual(9)
  expect((await service.get('/health')).status).toBe(200)
})

test('a thousand requests for a large result on a connection that does not read cost no more than a few of them', async () => {
  const service = await startService()
  const id = await withResult(service, 3 * MIB)
  const connection = await openRaw(service)
  connection.socket.pause()
  const before = process.memoryUsage().rss
  connection.send(statusText(service, id).repeat(1000))
  let most = 0
  for (let i = 0; i < 40; i++) {
    expect((await service.get('/health')).status).toBe(200)
    most = Math.max(most, process.memoryUsage().rss - before)
  }
  expect(most).toBeLessThan(64 * MIB)
})

test('a large answer is not made while one before it on the connection has not left', async () => {
  const service = await startService({ max_unsent_bytes: 4 * MIB })
  const id = await withResult(service, 3 * MIB)
  const connection = await openRaw(service)
  connection.socket.pause()
  connection.send(statusText(service, id).repeat(8))
  await service.get('/health')
  connection.socket.resume()
  await until(() => connection.text().length > 8 * 3 * MIB)
  expect(statusesIn(connection.text())).toEqual(Array(8).fill(200))
})

test('answers that nobody reads count, and with too many of them an address is refused before anything is done', async () => {
  const service = await startService({ count_loopback: true, max_unsent_bytes_per_address: 8 * MIB })
  const id = await withResult(service, 4 * MIB)
  const readers = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const reader = await openRaw(service, '127.0.0.2')
      reader.socket.pause()
      reader.send(statusText(service, id))
      return reader
    }),
  )
  const refused = await until(async () => {
    const late = await openRaw(service, '127.0.0.2')
    late.send(postText(service, '/api/v1/tasks', JSON.stringify(task({ task_id: 'late' }))))
    const text = await late.shows('"success":')
    return text.startsWith('HTTP/1.1 429') && text
  })
  expect(refused).toMatch(/^HTTP\/1\.1 429 [^]*\r\nConnection: close\r\n[^]*max_unsent_bytes_per_address/)
  // Others are not concerned, and whoever reads or goes away has room again.
  expect((await service.get(`/api/v1/tasks/${id}/status`)).status).toBe(200)
  for (const reader of readers) reader.socket.destroy()
  await until(async () => {
    const again = await openRaw(service, '127.0.0.2')
    again.send(requestText(service, 'GET', '/health'))
    return (await again.shows('"success":')).includes('200 OK')
  })
})

test('the unsent answers of all addresses together are bounded, for loopback too', async () => {
  const service = await startService({ max_unsent_bytes: MIB })
  const id = await withResult(service, 4 * MIB)
  const reader = await openRaw(service)
  reader.socket.pause()
  reader.send(statusText(service, id))
  await until(async () => (await service.get('/api/v1/stats')).status === 503)
  reader.socket.resume()
  await until(async () => (await service.get('/api/v1/stats')).status === 200)
  expect(statusesIn(reader.text())).toEqual([200])
})
