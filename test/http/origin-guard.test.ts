import { request } from 'node:http'
import { expect, test } from 'vitest'
import { inferenceDefaults } from '../../src/config.js'
import { createOriginGuard } from '../../src/http/origin-guard.js'
import { startService, type Service } from '../support/service.js'
import { dial } from '../support/node-session.js'
import { openSocket } from '../support/test-socket.js'

interface RawAnswer {
  status: number
  headers: Record<string, unknown>
  body: { code?: string; error: string | null; success: boolean } | null
}

/** A request with these headers and no other: fetch does not let a Host or an Origin be set. */
const ask = (service: Service, headers: Record<string, string>, path = '/api/v1/stats', method = 'GET') =>
  new Promise<RawAnswer>((resolve, reject) => {
    request(service.url + path, { method, headers }, (response) => {
      let text = ''
      response.on('data', (part: Buffer) => (text += part.toString()))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: text === '' ? null : (JSON.parse(text) as RawAnswer['body']),
        }),
      )
    })
      .on('error', reject)
      .end()
  })

const DASHBOARD = 'https://dashboard.example.org'

test('a page of another origin is refused on every route, before anything is done, and told the setting', async () => {
  const service = await startService()
  const task = await service.submit()
  for (const [method, path] of [
    ['GET', '/health'],
    ['GET', '/api/v1/nodes/worker/tasks'],
    ['GET', '/nowhere'],
    ['POST', `/api/v1/tasks/${task}/cancel`],
    ['DELETE', '/api/v1/nodes/worker'],
    ['OPTIONS', '/api/v1/tasks/submit'],
  ] as const) {
    const { status, headers, body } = await ask(service, { origin: 'https://evil.example' }, path, method)
    expect([path, status, body]).toMatchObject([path, 403, { success: false, code: 'forbidden_origin' }])
    expect(body?.error).toContain('put "https://evil.example" into inference.cors_origins')
    expect(headers['x-request-id']).toMatch(/./)
    expect(headers).not.toHaveProperty('access-control-allow-origin')
  }
  expect(await service.status(task)).toMatchObject({ status: 'pending' })
})

test('a page that sends no origin is known by Sec-Fetch-Site', async () => {
  const service = await startService()
  for (const site of ['cross-site', 'same-site']) {
    const { status, body } = await ask(service, { 'sec-fetch-site': site })
    expect([status, body?.code]).toEqual([403, 'forbidden_origin'])
    expect(body?.error).toContain('inference.cors_origins')
  }
  for (const site of ['same-origin', 'none'])
    expect(await ask(service, { 'sec-fetch-site': site })).toMatchObject({ status: 200 })
  expect(await ask(service, { origin: 'null', 'sec-fetch-site': 'cross-site' })).toMatchObject({ status: 403 })
})

test('the page of the service itself and programs pass', async () => {
  const service = await startService()
  expect(await ask(service, {})).toMatchObject({ status: 200 })
  expect(await ask(service, { origin: service.url })).toMatchObject({ status: 200 })
  expect(await ask(service, { origin: service.url.replace('http:', 'https:') })).toMatchObject({ status: 403 })
})

test('the body of a refused request is not waited for', async () => {
  const service = await startService()
  const headers = { origin: 'https://evil.example', 'content-length': '16000000', 'content-type': 'application/json' }
  const answer = await new Promise<{ status: number | undefined; connection: string | undefined }>((resolve, reject) =>
    request(`${service.url}/api/v1/tasks/submit`, { method: 'POST', headers }, (r) =>
      resolve({ status: r.resume().statusCode, connection: r.headers.connection }),
    )
      .on('error', reject)
      .flushHeaders(),
  )
  expect(answer).toEqual({ status: 403, connection: 'close' })
})

test('a listed origin gets preflights and may read every answer, its refusals too', async () => {
  const service = await startService({ cors_origins: [DASHBOARD] })
  const preflight = await ask(
    service,
    { origin: DASHBOARD, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    '/api/v1/tasks/submit',
    'OPTIONS',
  )
  expect(preflight).toMatchObject({ status: 204, body: null })
  expect(preflight.headers).toMatchObject({
    'access-control-allow-origin': DASHBOARD,
    'access-control-allow-methods': 'GET, HEAD, POST, DELETE',
    'access-control-allow-headers': 'authorization, *',
    vary: 'Origin',
  })
  for (const [path, status] of [
    ['/api/v1/stats', 200],
    ['/api/v1/tasks/none/status', 404],
  ] as const) {
    const answer = await ask(service, { origin: DASHBOARD, 'sec-fetch-site': 'cross-site' }, path)
    expect(answer.status).toBe(status)
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': DASHBOARD,
      'access-control-expose-headers':
        'X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, X-Ignored-Query, Preference-Applied, X-Task-Id, X-Should-Retry, Retry-After-Ms, Location, ETag',
      vary: 'Origin',
    })
  }
  const other = await ask(service, { origin: `${DASHBOARD}.evil.example` })
  expect(other.status).toBe(403)
  expect(other.headers).not.toHaveProperty('access-control-allow-origin')
  // Without a page nothing is said to pages, but that answers differ.
  expect((await ask(service, {})).headers).toMatchObject({ vary: 'Origin' })
})

test('an origin of the settings is one, and not "*"', () => {
  const set = (origin: string) => () => inferenceDefaults({ database_path: 'x.db', cors_origins: [origin] })
  expect(set('*')).toThrow('"*" would let every web page')
  for (const wrong of ['dashboard.example.org', 'https://a.example/', 'https://A.example', 'file:///x', 'null'])
    expect(set(wrong)).toThrow('must be the origin of web pages')
  expect(set(DASHBOARD)).not.toThrow()
})

test('a Host that is not ours is answered 421 and told the setting, also with an origin that fits it', async () => {
  const service = await startService({ public_hosts: ['Pool.example.org', 'other.example:8443'] })
  const port = service.host.split(':')[1] ?? ''
  for (const host of [`evil.example:${port}`, 'evil.example', '127.0.0.1.evil.example', 'xlocalhost', '[::1']) {
    const { status, headers, body } = await ask(service, { host, origin: `http://${host}` })
    expect([host, status, body?.code]).toEqual([host, 421, 'wrong_host'])
    expect(body?.error).toContain(`put ${JSON.stringify(host)} into inference.public_hosts`)
    expect(headers['x-request-id']).toMatch(/./)
  }
  const good = ['localhost', `LOCALHOST:${port}`, '127.0.0.1:1', '192.0.2.7', '[::1]:8080', '[2001:db8::1]']
  for (const host of [...good, 'pool.example.org', 'POOL.example.org:443', 'other.example'])
    expect([host, (await ask(service, { host })).status]).toEqual([host, 200])
})

test('the name that is listened on is a good Host', () => {
  const guard = createOriginGuard({ apiHost: 'Box.lan', publicHosts: [], corsOrigins: [], secure: true })
  const judge = (headers: Record<string, string>) => guard.judge({ headers, rawHeaders: [], url: '/' })
  expect(judge({ host: 'box.lan:8080' })).toBeNull()
  expect(judge({ host: 'box.lan:8080', origin: 'https://box.lan:8080' })).toBeNull()
  expect(judge({ host: 'box.lan:8080', origin: 'http://box.lan:8080' })).toMatchObject({
    code: 'forbidden_origin',
  })
  expect(judge({ host: 'fox.lan:8080' })).toMatchObject({ code: 'wrong_host' })
})

test('no session opens for a page of another origin or under a Host that is not ours', async () => {
  const service = await startService({ cors_origins: [DASHBOARD] })
  const upgrade = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }
  for (const path of ['/api/v1/nodes/connect', '/api/v1/tasks/connect'])
    for (const [headers, status, code] of [
      [{ origin: 'https://evil.example' }, 403, 'forbidden_origin'],
      [{ host: 'evil.example' }, 421, 'wrong_host'],
    ] as const) {
      const answer = await ask(service, { ...upgrade, 'sec-websocket-key': btoa('0123456789abcdef'), ...headers }, path)
      expect([answer.status, answer.body?.code]).toEqual([status, code])
      expect(answer.headers['x-request-id']).toMatch(/./)
    }
  const page = await openSocket<{ type: string }>(
    `ws://${service.host}/api/v1/tasks/connect`,
    ['inference-client.v1'],
    {
      origin: DASHBOARD,
    },
  )
  expect(await page.next('session.welcome')).toMatchObject({ protocol: 1 })
  const node = await dial(service)
  expect(await node.next('session.challenge')).toMatchObject({ protocol: 1 })
})
