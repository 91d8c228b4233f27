import { expect, test } from 'vitest'
import { as, bearer, startGuarded } from '../support/access.js'
import { connectNode } from '../support/node-session.js'
import { statusAndCode } from '../support/rest-calls.js'
import { openSocket } from '../support/test-socket.js'
import { makeToken } from '../../src/wire/token.js'

const proxied = { trusted_proxies: ['127.0.0.1'] }
/** What a proxy adds for a client. */
const forClient = (address: string, more: Record<string, string> = {}) => ({ 'x-forwarded-for': address, ...more })

test("a client's address counts behind a trusted proxy: for the networks of a token, and in the audit", async () => {
  let viewer = ''
  const service = await startGuarded(proxied, (token) => {
    viewer = token('viewer', { cidrs: ['192.0.2.0/24'] })
  })
  const status = async (client: string) => (await as(service, viewer, forClient(client)).get('/api/v1/nodes')).status
  expect([await status('192.0.2.7'), await status('198.51.100.7')]).toEqual([200, 401])
  // What a client writes itself stands to the left of what the proxy adds.
  expect(await status('192.0.2.7, 198.51.100.7')).toBe(401)
  await as(service, service.admin, forClient('203.0.113.5')).post('/api/v1/tokens', { role: 'viewer', name: 'v' })
  const { body } = await service.asAdmin.get('/api/v1/audit?action=token.created&limit=1')
  expect(body?.data.entries).toMatchObject([{ address: '203.0.113.5' }])
})

test('from who is no trusted proxy these headers say nothing', async () => {
  let viewer = ''
  const service = await startGuarded({}, (token) => {
    viewer = token('viewer', { cidrs: ['192.0.2.0/24'] })
  })
  expect((await as(service, viewer, forClient('192.0.2.7')).get('/api/v1/nodes')).status).toBe(401)
  const host = { 'x-forwarded-host': 'evil.example' }
  expect((await service.send('GET', '/health', null, host)).status).toBe(200)
})

test('limits by address hold for each client of a proxy, also for one on loopback', async () => {
  const service = await startGuarded(proxied)
  const wrong = makeToken('usr').token
  const fails = async (client: string) => {
    const caller = as(service, wrong, forClient(client))
    const codes: number[] = []
    for (let i = 0; i < 12; i++) codes.push((await caller.get('/health')).status)
    return codes.filter((code) => code === 429).length
  }
  // The token has failed too often by then, wherever it comes from; a typo has no id.
  expect(await fails('192.0.2.1')).toBe(2)
  const typo = async (client: string) =>
    statusAndCode(
      await service.send('GET', '/health', null, { authorization: 'Bearer sis_typo', ...forClient(client) }),
    )
  expect(await typo('192.0.2.1')).toEqual({ status: 429, code: 'rate_limited' })
  expect(await typo('192.0.2.2')).toEqual({ status: 401, code: 'unauthorized' })
  for (let i = 0; i < 10; i++) await typo('127.0.0.9')
  expect(await typo('127.0.0.9')).toEqual({ status: 429, code: 'rate_limited' })
  expect((await as(service, service.admin, forClient('192.0.2.1')).get('/api/v1/nodes')).status).toBe(200)
})

test('connections of a proxy are not counted as those of one address', async () => {
  const service = await startGuarded({ ...proxied, count_loopback: true, max_connections_per_address: 2 })
  const answers = await Promise.all(Array.from({ length: 20 }, () => service.get('/health')))
  expect(answers.map((a) => a.status)).toEqual(Array(20).fill(200))
})

test('the host that a client has asked its proxy for is the one that is judged, and its origin', async () => {
  const service = await startGuarded({ ...proxied, public_hosts: ['pool.example.org'] })
  const ask = async (headers: Record<string, string>) =>
    (await service.send('GET', '/health', null, forClient('192.0.2.7', headers))).status
  expect(await ask({ 'x-forwarded-host': 'evil.example' })).toBe(421)
  const own = { 'x-forwarded-host': 'pool.example.org', origin: 'https://pool.example.org' }
  expect(await ask(own)).toBe(200)
  expect(await ask({ ...own, 'x-forwarded-proto': 'https' })).toBe(200)
  expect(await ask({ ...own, 'x-forwarded-proto': 'http' })).toBe(403)
})

test('sessions come through a proxy: a hello is signed for the host that the node has dialled', async () => {
  const service = await startGuarded({
    ...proxied,
    auth: {
      mode: 'auto',
      anonymous_submit: false,
      public_stats: true,
      enrolment: 'open',
      probation_max_fee: 0,
      legacy_unsigned: [],
    },
  })
  const headers = forClient('192.0.2.7', { 'x-forwarded-host': '192.0.2.1:8080' })
  const node = await connectNode({ host: service.host }, 'n', {}, { headers }).catch(() => null)
  expect(node).toBeNull() // it was signed for another
  const through = { 'x-forwarded-for': '192.0.2.7', 'x-forwarded-host': service.host }
  expect((await connectNode(service, 'n', {}, { headers: through })).welcome.type).toBe('session.welcome')
  const session = await openSocket<{ type: string }>(`ws://${service.host}/api/v1/tasks/connect`, [], {
    headers: { ...through, ...bearer(service.admin) },
  })
  await session.next('session.welcome')
})
