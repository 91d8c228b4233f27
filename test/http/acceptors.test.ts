import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { pino } from 'pino'
import { expect, onTestFinished, test, vi } from 'vitest'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { openRaw, requestText } from '../support/raw-connection.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

type Line = { event?: string; handles?: number; why?: string }
function logLines() {
  const lines: Line[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Line) })
  return { lines, log, crowded: () => lines.filter((line) => line.event === 'connections.crowded') }
}

const busy = (ms: number): void => {
  for (const end = performance.now() + ms; performance.now() < end;);
}

/**
 * Dials so many times at once and says a request on each; then turns of 3 ms until all are answered.
 * @returns how many turns that took
 */
async function turnsToServe(host: string, count: number, open: (host: string) => Socket): Promise<number> {
  let answered = 0
  for (let i = 0; i < count; i++) {
    const socket = open(host)
    onTestFinished(() => void socket.destroy())
    socket.on('error', () => undefined)
    socket.once('data', () => {
      answered++
      socket.destroy()
    })
    socket.write(requestText({ host }, 'GET', '/nowhere'))
  }
  let turns = 0
  for (; answered < count && turns < 5000; turns++) {
    busy(3)
    await nextTurn()
  }
  expect(answered).toBe(count)
  return turns
}
const plain = (host: string): Socket => {
  const [name = '', port = ''] = host.split(':')
  return connect({ host: name, port: Number(port) })
}
const secure = (host: string): Socket => {
  const [name = '', port = ''] = host.split(':')
  return connectTls({ host: name, port: Number(port), rejectUnauthorized: false })
}

test('where many connections wait they are taken in a few turns of the event loop, and all end with the service', async () => {
  const { log, crowded } = logLines()
  const service = await startService({}, undefined, { log })
  await turnsToServe(service.host, 200, plain)
  await until(() => crowded().length > 0)
  expect(crowded()).toEqual([expect.objectContaining({ level: 30, handles: 32 })])
  expect(await turnsToServe(service.host, 200, plain)).toBeLessThan(60)
  const [idle, silent] = [await openRaw(service), await openRaw(service)]
  idle.send(requestText(service, 'GET', '/nowhere'))
  await idle.shows('not_found')
  const began = performance.now()
  await service.stop()
  expect(performance.now() - began).toBeLessThan(10_000)
  await Promise.all([idle.closed, silent.closed])
  await expect(openRaw(service)).rejects.toThrow('ECONNREFUSED')
})

test.runIf(hasOpenssl)('with TLS too', async () => {
  const [tls_cert, tls_key] = [join(tempDir(), 'cert.pem'), join(tempDir(), 'key.pem')]
  makeCertificate(tls_cert, tls_key)
  const { log, crowded } = logLines()
  const service = await startService({ tls_cert, tls_key }, undefined, { log })
  await turnsToServe(service.host, 100, secure)
  await until(() => crowded().length > 0)
  await turnsToServe(service.host, 100, secure)
  await service.stop()
})

test('a few connections at once are no crowd', async () => {
  const { log, crowded } = logLines()
  const service = await startService({}, undefined, { log })
  for (let i = 0; i < 20; i++) await turnsToServe(service.host, 3, plain)
  expect(crowded()).toEqual([])
})

test('a service whose helper cannot be started says so in the log, and goes on', async () => {
  const { log, crowded } = logLines()
  const service = await startService({}, undefined, { log })
  vi.spyOn(process, 'execPath', 'get').mockReturnValue(join(tempDir(), 'nowhere'))
  onTestFinished(() => void vi.restoreAllMocks())
  expect(await turnsToServe(service.host, 200, plain)).toBeGreaterThan(200)
  await until(() => crowded().length > 0)
  expect(crowded()).toEqual([
    expect.objectContaining({ level: 40, handles: 1, why: expect.stringContaining('ENOENT') }),
  ])
  expect(await turnsToServe(service.host, 20, plain)).toBeGreaterThan(0)
})

test('a service that stops while its helper starts does not wait for it', async () => {
  const { log } = logLines()
  const service = await startService({}, undefined, { log })
  await turnsToServe(service.host, 30, plain)
  await service.stop()
})
