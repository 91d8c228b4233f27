import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { inferenceDefaults } from '../../src/config.js'
import { createKeysOf } from '../../src/lib/address.js'
import { createConnections } from '../../src/http/connections.js'
import { createLimits } from '../../src/http/limits.js'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { openRaw, requestText, statusesIn, type RawConnection } from '../support/raw-connection.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const health = (host: string): string => requestText({ host }, 'GET', '/health')

/** Whether a connection is served, and not closed before anything is read. */
async function isServed(connection: RawConnection, host: string): Promise<boolean> {
  connection.send(health(host))
  await Promise.race([connection.closed, connection.shows('"success":')])
  return connection.text() !== ''
}

function logLines() {
  const lines: { event?: string; count?: number }[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as { event?: string }) })
  return { lines, log }
}

test('an address has a limited number of connections; more are closed before anything is read, and the log says so once', async () => {
  const { lines, log } = logLines()
  const service = await startService({ count_loopback: true, max_connections_per_address: 3 }, undefined, { log })
  const mine = await Promise.all([1, 2, 3].map(() => openRaw(service, '127.0.0.2')))
  for (const connection of mine) expect(await isServed(connection, service.host)).toBe(true)
  for (let i = 0; i < 5; i++) expect(await isServed(await openRaw(service, '127.0.0.2'), service.host)).toBe(false)
  expect(await isServed(await openRaw(service, '127.0.0.3'), service.host)).toBe(true)
  expect(lines.filter((line) => line.event === 'connections.refused')).toEqual([expect.objectContaining({ count: 1 })])
  mine[0]?.socket.destroy()
  await until(async () => isServed(await openRaw(service, '127.0.0.2'), service.host))
})

test('loopback may have as many as it wants unless it is to be counted', async () => {
  const service = await startService({ max_connections_per_address: 1 })
  for (let i = 0; i < 5; i++) expect(await isServed(await openRaw(service), service.host)).toBe(true)
})

/** A server that counts connections, and its end of each. */
async function counting(mostOfAddress: number, most = 1000) {
  const { lines, log } = logLines()
  const refused: string[] = []
  const settings = inferenceDefaults({
    database_path: 'none.db',
    count_loopback: true,
    max_connections_per_address: mostOfAddress,
  })
  const connections = createConnections({
    keysOf: createKeysOf(true),
    limits: { ...createLimits(settings, 0, () => 0), mostConnections: most },
    refused: (holder) => refused.push(holder),
    log,
  })
  const server = createServer((_, response) => response.end('"success":'))
  const sockets: Socket[] = []
  server.on('connection', (socket) => sockets.push(socket))
  connections.watch(server)
  server.listen(0, '127.0.0.1')
  onTestFinished(() => server.close().closeAllConnections())
  await once(server, 'listening')
  return { connections, sockets, lines, refused, host: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

test('a connection that is released counts no longer, once', async () => {
  const { connections, sockets, refused, host } = await counting(1)
  const first = await openRaw({ host })
  expect(await isServed(first, host)).toBe(true)
  expect(await isServed(await openRaw({ host }), host)).toBe(false)
  const [socket] = sockets
  if (socket === undefined) throw new Error('no socket')
  connections.release(socket)
  connections.release(socket)
  expect(await isServed(await openRaw({ host }), host)).toBe(true)
  expect(await isServed(await openRaw({ host }), host)).toBe(false)
  first.socket.destroy()
  await once(socket, 'close')
  expect(await isServed(await openRaw({ host }), host)).toBe(false)
  expect(refused).toEqual(['address', 'address', 'address'])
})

test('connections beyond those that the server takes are told of in the log', async () => {
  const { lines, refused, connections, host } = await counting(1000, 1)
  const first = await openRaw({ host })
  expect(await isServed(first, host)).toBe(true)
  for (let i = 0; i < 3; i++) expect(await isServed(await openRaw({ host }), host)).toBe(false)
  expect(lines).toEqual([expect.objectContaining({ event: 'connections.dropped', count: 1 })])
  expect([connections.open(), refused]).toEqual([1, ['service', 'service', 'service']])
  first.socket.destroy()
  await until(async () => isServed(await openRaw({ host }), host))
})

describe.concurrent('a connection that says nothing', () => {
  test('is answered 408 and closed after 10 s, and one whose headers do not end too', async ({ expect }) => {
    const service = await startService()
    const silent = await openRaw(service)
    const slow = await openRaw(service)
    slow.send('GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ')
    const began = performance.now()
    await Promise.all([silent.closed, slow.closed])
    expect(performance.now() - began).toBeLessThan(30_000)
    expect(statusesIn(slow.text())).toEqual([408])
    expect(slow.text()).toMatch(/its headers may take 10 s/)
  })

  test.runIf(hasOpenssl)('is closed after 10 s before its TLS handshake', async ({ expect }) => {
    const [tls_cert, tls_key] = [join(tempDir(), 'cert.pem'), join(tempDir(), 'key.pem')]
    makeCertificate(tls_cert, tls_key)
    const service = await startService({ tls_cert, tls_key })
    const silent = await openRaw(service)
    const began = performance.now()
    await silent.closed
    expect(performance.now() - began).toBeLessThan(30_000)
  })
})

test.runIf(hasOpenssl)('a connection with TLS counts as one', async () => {
  const [tls_cert, tls_key] = [join(tempDir(), 'cert.pem'), join(tempDir(), 'key.pem')]
  makeCertificate(tls_cert, tls_key)
  const service = await startService({ tls_cert, tls_key, count_loopback: true, max_connections_per_address: 1 })
  const [host = '', port = ''] = service.host.split(':')
  /** Whether it comes to a TLS connection. */
  const dial = () => {
    const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false })
    onTestFinished(() => void socket.destroy())
    const secure = new Promise<boolean>((resolve) => {
      socket.once('secureConnect', () => resolve(true)).once('close', () => resolve(false))
    })
    socket.on('error', () => undefined)
    return { socket, secure }
  }
  const first = dial()
  expect(await first.secure).toBe(true)
  first.socket.write(health(service.host))
  await once(first.socket, 'data')
  expect(await dial().secure).toBe(false)
  first.socket.destroy()
  await until(() => dial().secure)
})
