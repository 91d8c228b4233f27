import { join } from 'node:path'
import { once } from 'node:events'
import { connect as connectTls } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { openRaw, requestText, statusesIn } from '../support/raw-connection.js'
import { startService, task, type Service } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

/** What Java's client sends with every request, unless it is told to speak HTTP/1.1. */
const OFFER = {
  Connection: 'Upgrade, HTTP2-Settings',
  Upgrade: 'h2c',
  'HTTP2-Settings': 'AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA',
}
const get = (service: Service, path: string, more: Record<string, string> = {}) =>
  requestText(service, 'GET', path, { ...OFFER, ...more })
const post = (service: Service, id: string, more: Record<string, string | number> = {}) => {
  const body = JSON.stringify(task({ task_id: id, user_input: 'é'.repeat(50_000) }))
  const headers = { ...OFFER, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...more }
  return requestText(service, 'POST', '/api/v1/tasks', headers, body)
}

test('a request that offers an upgrade which is no session is served, and its connection goes on', async () => {
  const service = await startService()
  const connection = await openRaw(service)
  for (let i = 0; i < 20; i++) {
    connection.send(i % 2 === 0 ? get(service, '/health') : post(service, `t${i}`))
    await until(() => statusesIn(connection.text()).length === i + 1)
  }
  connection.send(requestText(service, 'GET', '/api/v1/stats'))
  await connection.shows('"total_tasks":10')
  expect(statusesIn(connection.text())).toEqual(Array(21).fill(200))
})

test('its body may come in any pieces, or in chunks', async () => {
  const service = await startService()
  const connection = await openRaw(service)
  const bytes = Buffer.from(post(service, 'in-pieces'))
  for (let at = 0; at < bytes.length; at += 7919) {
    connection.send(bytes.subarray(at, at + 7919))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await connection.shows('200 OK')
  const json = JSON.stringify(task({ task_id: 'chunked' }))
  const chunks = `${json.length.toString(16)}\r\n${json}\r\n0\r\n\r\n`
  const headers = { ...OFFER, 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' }
  connection.send(requestText(service, 'POST', '/api/v1/tasks', headers, chunks))
  await until(() => statusesIn(connection.text()).length === 2)
  expect(await service.status('in-pieces')).toMatchObject({ user_input: 'é'.repeat(50_000) })
  expect(await service.status('chunked')).toMatchObject({ status: 'pending' })
})

test('it keeps its place among requests that are sent ahead, and counts among them', async () => {
  const service = await startService()
  const connection = await openRaw(service)
  connection.send(requestText(service, 'GET', '/nowhere') + get(service, '/health') + get(service, '/nowhere'))
  await until(() => statusesIn(connection.text()).length === 3)
  expect(statusesIn(connection.text())).toEqual([404, 200, 404])
})

test('it passes the same guards and rates, and may ask for the end of its connection', async () => {
  const service = await startService({ count_loopback: true, max_requests_per_second: 1 })
  const foreign = await openRaw(service, '127.0.0.2')
  foreign.send(get(service, '/health', { Origin: 'https://evil.example' }))
  await foreign.shows('forbidden_origin')
  const rebound = await openRaw(service, '127.0.0.2')
  rebound.send(get({ ...service, host: 'evil.example' }, '/health'))
  await rebound.shows('wrong_host')
  const quick = await openRaw(service, '127.0.0.3')
  for (let i = 0; i < 11; i++) {
    quick.send(get(service, '/health'))
    await until(() => statusesIn(quick.text()).length === i + 1)
  }
  expect(statusesIn(quick.text())).toEqual([...Array<number>(10).fill(200), 429])
  const last = await openRaw(service)
  last.send(get(service, '/health', { Connection: 'close, Upgrade' }))
  await last.closed
  expect(statusesIn(last.text())).toEqual([200])
})

test('its connection counts once, however often it offers', async () => {
  const service = await startService({ count_loopback: true, max_connections_per_address: 1 })
  const connection = await openRaw(service)
  for (let i = 0; i < 5; i++) {
    connection.send(get(service, '/health'))
    await until(() => statusesIn(connection.text()).length === i + 1)
  }
  connection.socket.destroy()
  await until(async () => {
    const next = await openRaw(service)
    next.send(get(service, '/health'))
    await Promise.race([next.closed, next.shows('200 OK')])
    return next.text() !== ''
  })
})

test.runIf(hasOpenssl)('it is served over TLS too', async () => {
  const [tls_cert, tls_key] = [join(tempDir(), 'cert.pem'), join(tempDir(), 'key.pem')]
  makeCertificate(tls_cert, tls_key)
  const service = await startService({ tls_cert, tls_key })
  const [host = '', port = ''] = service.host.split(':')
  const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false })
  onTestFinished(() => void socket.destroy())
  let text = ''
  socket.on('data', (part: Buffer) => (text += part.toString()))
  await once(socket, 'secureConnect')
  for (let i = 0; i < 3; i++) {
    socket.write(i === 1 ? post(service, 'secure') : get(service, '/health'))
    await until(() => statusesIn(text).length === i + 1)
  }
  expect(statusesIn(text)).toEqual([200, 200, 200])
})
