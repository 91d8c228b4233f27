import { Hono } from 'hono'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { inferenceDefaults } from '../../src/config.js'
import { createApp, type App } from '../../src/http/app.js'
import { createLimits } from '../../src/http/limits.js'
import { createServer, type ServerParts } from '../../src/http/server.js'
import { openDoors } from '../support/open-doors.js'
import { openRaw, postText, requestText, statusesIn } from '../support/raw-connection.js'

/** A server whose parts may have faults, and what it logs. */
async function faulty(parts: Partial<ServerParts>) {
  const lines: { level: number; err?: { message: string } }[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as { level: number }) })
  const good: App = new Hono()
  good.get('/good', (c) => c.text('good'))
  const server = createServer({
    ...openDoors(false),
    app: good,
    tls: null,
    guard: { judge: () => null, isListed: (_): _ is string => false, varies: false },
    limits: createLimits(inferenceDefaults({ database_path: 'none.db' }), 1 << 20, () => 0),
    log,
    overloaded: () => false,
    upgrade: () => undefined,
    ...parts,
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => server.close().closeAllConnections())
  return { service: { host: `127.0.0.1:${(server.address() as AddressInfo).port}` }, lines, server }
}
const fault = (): never => {
  throw new Error('the inner cause')
}
const isBad = ({ url }: Pick<IncomingMessage, 'url'>): boolean => url === '/bad'

test.each<[string, Partial<ServerParts>]>([
  [
    'the guard',
    {
      guard: {
        judge: (request) => (isBad(request) ? fault() : null),
        isListed: (_): _ is string => false,
        varies: false,
      },
    },
  ],
  [
    'a limit',
    { limits: { ...createLimits(inferenceDefaults({ database_path: 'none.db' }), 1, () => 0), requests: fault } },
  ],
])('a fault in %s answers 500 without its cause, and the service lives on', async (_, parts) => {
  const { service, lines } = await faulty(parts)
  const connection = await openRaw(service)
  connection.send(requestText(service, 'GET', '/bad'))
  const text = await connection.shows('"code":"internal"')
  await connection.closed
  expect(statusesIn(text)).toEqual([500])
  expect(text).not.toContain('inner cause')
  expect(lines).toEqual([
    expect.objectContaining({ level: 50, err: expect.objectContaining({ message: 'the inner cause' }) }),
  ])
  const next = await openRaw(service)
  next.send(requestText(service, 'GET', '/good'))
  await next.shows(/ (200|500) /)
})

test('under /v1 that answer has the form of the errors of OpenAI’s API', async () => {
  const guard = { judge: fault, isListed: (_: unknown): _ is string => false, varies: false }
  const { service } = await faulty({ guard })
  const connection = await openRaw(service)
  connection.send(requestText(service, 'GET', '/v1/models'))
  const text = await connection.shows('"type":"server_error"')
  await connection.closed
  expect(statusesIn(text)).toEqual([500])
  expect(text).toMatch(/\{"error":\{"message":"the service failed[^}]*\}\}$/)
})

test('a fault in an upgrade ends that connection and no more', async () => {
  const { service, lines } = await faulty({ upgrade: fault })
  const connection = await openRaw(service)
  connection.send(requestText(service, 'GET', '/session', { Connection: 'Upgrade', Upgrade: 'websocket' }))
  await connection.closed
  expect(connection.text()).toBe('')
  expect(lines).toEqual([
    expect.objectContaining({ level: 50, err: expect.objectContaining({ message: 'the inner cause' }) }),
  ])
  const next = await openRaw(service)
  next.send(requestText(service, 'GET', '/good'))
  await next.shows('200 OK')
})

test('a fault in a route answers 500 and keeps nothing of the request', async () => {
  const limits = createLimits(inferenceDefaults({ database_path: 'none.db' }), 1 << 20, () => 0)
  const app = createApp({
    ...openDoors(false),
    publicHosts: [],
    call: fault,
    log: { error: () => undefined },
    asyncapi: {},
    wall: () => 0,
    maxBodyBytes: 1 << 20,
    maxMessageBytes: 1 << 20,
    maxOutputBytes: 1 << 20,
  })
  const { service } = await faulty({ app, limits })
  const connection = await openRaw(service)
  const body = JSON.stringify({ node_id: 'n', status: 'online' })
  for (const text of [
    requestText(service, 'GET', '/api/v1/stats'),
    requestText(service, 'GET', '/api/v1/tasks/x/status'),
    requestText(service, 'GET', '/api/v1/nodes'),
    postText(service, '/api/v1/nodes/heartbeat', body),
  ]) {
    for (let i = 0; i < 40; i++) {
      const before = connection.text().length
      connection.send(text)
      await connection.shows(new RegExp(`^[^]{${before}}HTTP/1\\.1 500 [^]*\\}$`))
    }
  }
  expect([limits.receiving.total(), limits.unsent.total()]).toEqual([0, 0])
})
