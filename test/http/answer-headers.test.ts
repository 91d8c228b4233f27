import { get } from 'node:https'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { openRaw, requestText } from '../support/raw-connection.js'
import { startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

test('every answer says that it is data, new, and for nobody else, whatever it is', async () => {
  const service = await startService({ max_message_bytes: 16_384 })
  await service.register('node-1')
  const answers = [
    await service.get('/health'),
    await service.get('/api/v1/nodes/node-1/tasks'),
    await service.get('/api/v1/asyncapi.json'),
    await service.post('/api/v1/tasks', task()),
    await service.post('/api/v1/tasks', {}),
    await service.post('/api/v1/tasks', task({ user_input: 'x'.repeat(300_000) })),
    await service.get('/nowhere'),
    await service.send('DELETE', '/api/v1/stats'),
    await service.get('/api/v1/nodes/connect'),
  ]
  expect(answers.map((a) => a.status)).toEqual([200, 204, 200, 200, 400, 413, 404, 405, 426])
  for (const { headers } of answers) {
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('strict-transport-security')).toBeNull()
  }
})

test('so do answers that are given before a route, or without one', async () => {
  const service = await startService()
  for (const text of [
    requestText(service, 'GET', '/health', { Origin: 'https://evil.example' }),
    'GARBAGE\r\n\r\n',
    requestText(service, 'GET', '/a\\b'),
    requestText(service, 'GET', '/nowhere', { Connection: 'Upgrade', Upgrade: 'websocket' }),
  ]) {
    const connection = await openRaw(service)
    connection.send(text)
    const answer = await connection.shows('"success":false')
    expect(answer).toMatch(/\r\nX-Content-Type-Options: nosniff\r\n/)
    expect(answer).toMatch(/\r\nCache-Control: no-store\r\n/)
  }
})

test('a request id tells nothing of other requests', async () => {
  const service = await startService()
  const ids = await Promise.all(
    Array.from({ length: 50 }, async () => (await service.get('/health')).headers.get('x-request-id') ?? ''),
  )
  expect(new Set(ids.map((id) => id.slice(0, 8))).size).toBe(50)
  expect(new Set(ids.map((id) => id.slice(-8))).size).toBe(50)
})

test.runIf(hasOpenssl)('with TLS an answer says that the service has it', async () => {
  const [tls_cert, tls_key] = [join(tempDir(), 'cert.pem'), join(tempDir(), 'key.pem')]
  makeCertificate(tls_cert, tls_key)
  const service = await startService({ tls_cert, tls_key })
  const header = await new Promise((resolve, reject) =>
    get(`${service.url}/health`, { rejectUnauthorized: false }, (answer) =>
      resolve(answer.resume().headers['strict-transport-security']),
    ).on('error', reject),
  )
  expect(header).toMatch(/^max-age=\d+$/)
})
