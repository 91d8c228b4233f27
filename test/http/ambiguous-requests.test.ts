import { expect, test } from 'vitest'
import { openRaw, requestText, statusesIn } from '../support/raw-connection.js'
import { drain, nodeOf } from '../support/rest-calls.js'
import { startService, type Service } from '../support/service.js'

/** The answer to these bytes. */
async function answerTo(service: Service, bytes: string): Promise<{ status: number | undefined; text: string }> {
  const connection = await openRaw(service)
  connection.send(bytes)
  const text = await connection.shows(/\r\n\r\n\{[^]*\}$/)
  connection.socket.destroy()
  return { status: statusesIn(text)[0], text }
}

const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
}

test('a path with dot segments is refused before routing, however they are written, also of an upgrade', async () => {
  const service = await startService()
  await service.register('x')
  for (const dots of ['..', '.', '%2e%2e', '%2E.', '.%2e', '%2e']) {
    for (const path of [
      `/api/v1/tasks/${dots}/nodes/x/drain`,
      `/api/v1/nodes/x/drain/${dots}`,
      `/${dots}/health`,
      `/${dots}?q`,
    ]) {
      for (const text of [requestText(service, 'POST', path), requestText(service, 'GET', path, UPGRADE)]) {
        const { status, text: answer } = await answerTo(service, text)
        expect([path, status]).toEqual([path, 400])
        expect(answer).toMatch(/"error":"the path must have no segments[^]*"code":"invalid_request"\}$/)
      }
    }
  }
  expect(await nodeOf(service, 'x')).toMatchObject({ drained: false })
})

test('dots that are no segment of the path mean nothing', async () => {
  const service = await startService()
  await service.register('a..b')
  expect((await drain(service, 'a..b')).status).toBe(200)
  for (const path of ['/api/v1/stats?x=/../y', '/api/v1/tasks/...', '/api/v1/tasks/..x', '/api/v1/tasks/%2e%2ex'])
    expect((await answerTo(service, requestText(service, 'GET', path))).status).not.toBe(400)
})

test('a request has one Host, and it is the host of its URL; so has an upgrade', async () => {
  const service = await startService()
  const { host } = service
  const lines = (target: string, hosts: string[], headers: Record<string, string> = {}) =>
    [
      `GET ${target} HTTP/1.1`,
      ...hosts.map((h) => `Host: ${h}`),
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      '',
      '',
    ].join('\r\n')
  for (const more of [{}, UPGRADE]) {
    for (const [target, hosts] of [
      ['/health', [host, host]],
      ['/health', [host, 'evil.example']],
      ['/health', [`${host},evil.example`]],
      ['http://evil.example/health', [host]],
      ['https://evil.example/health', [host]],
      [`http://user@${host}/health`, [host]],
    ] as const) {
      const { status, text } = await answerTo(service, lines(target, [...hosts], more))
      expect([target, hosts, status]).toEqual([target, hosts, 400])
      expect(text).toMatch(/"error":"Host: must be/)
    }
  }
  const twice = lines('/health', [host]).replace('\r\n\r\n', `\r\nhOsT: ${host}\r\n\r\n`)
  expect((await answerTo(service, twice)).status).toBe(400)
  expect((await answerTo(service, lines(`http://${host}/health`, [host]))).status).toBe(200)
})
