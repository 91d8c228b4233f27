import { expect, test } from 'vitest'
import { pino } from 'pino'
import { makeToken } from '../../src/wire/token.js'
import { as, idOf, makeTokenIn, startGuarded, type Caller } from '../support/access.js'
import { statusAndCode } from '../support/rest-calls.js'
import { startService, task } from '../support/service.js'
import { until } from '../support/wait.js'

const UNAUTHORIZED = { status: 401, code: 'unauthorized' }
const FORBIDDEN = { status: 403, code: 'forbidden' }
const TOO_MANY = { status: 429, code: 'rate_limited' }
const nodes = async (caller: Caller) => statusAndCode(await caller.get('/api/v1/nodes'))
const IN = { status: 200, code: undefined }

/** A token that is well formed, and nobody's. */
const foreign = makeToken('usr').token

async function oneByOne<T>(n: number, step: (i: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  for (let i = 0; i < n; i++) results.push(await step(i))
  return results
}

test('a token is made over REST, is good at once, is shown once, and is no good once it is revoked', async () => {
  const service = await startGuarded()
  const made = await service.asAdmin.post('/api/v1/tokens', { role: 'viewer', name: 'dashboard' })
  const { token, id } = made.body?.data as { token: string; id: string }
  const viewer = as(service, token)
  expect(await nodes(viewer)).toEqual(IN)
  const listed = (await service.asAdmin.get('/api/v1/tokens')).body?.data
  expect(listed.tokens.map((t: { role: string }) => t.role)).toEqual(['viewer', 'admin'])
  expect(JSON.stringify(listed)).not.toContain(token)
  const revoked = await service.asAdmin.send('DELETE', `/api/v1/tokens/${id}`)
  expect(revoked.body).toEqual({ success: true, data: 'Token revoked', error: null })
  expect(await nodes(viewer)).toEqual(UNAUTHORIZED)
  const actions = (await service.asAdmin.get('/api/v1/audit')).body?.data.entries
  expect(actions).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ action: 'token.created', subject: id, actor: `token:${idOf(service.admin)}` }),
      expect.objectContaining({ action: 'token.revoked', subject: id }),
    ]),
  )
})

test('a rotated token is good beside its successor for the overlap', async () => {
  const service = await startGuarded()
  const made = await service.asAdmin.post('/api/v1/tokens', { role: 'viewer', name: 'v' })
  const { token, id } = made.body?.data as { token: string; id: string }
  const rotate = (overlap: number) => service.asAdmin.post(`/api/v1/tokens/${id}/rotate`, { overlap })
  const next = (await rotate(60)).body?.data as { token: string; id: string }
  expect(next.id).not.toBe(id)
  expect([await nodes(as(service, token)), await nodes(as(service, next.token))]).toEqual([IN, IN])
  expect((await rotate(60)).status).toBe(409)
})

test('an admin is not made over REST, and an id that is none is refused', async () => {
  const service = await startGuarded()
  const admin = await service.asAdmin.post('/api/v1/tokens', { role: 'admin', name: 'second' })
  expect([admin.status, admin.body?.error]).toEqual([400, expect.stringContaining('--role admin')])
  expect((await service.asAdmin.send('DELETE', '/api/v1/tokens/short')).status).toBe(400)
})

test('a command beside the service is known of within two seconds: what it makes, and what it revokes', async () => {
  const service = await startGuarded()
  const viewer = as(service, makeTokenIn(service.file, 'viewer'))
  const began = performance.now()
  await until(async () => (await viewer.get('/api/v1/nodes')).status === 200)
  expect(performance.now() - began).toBeLessThan(4000)
})

test('the first token switches authentication on while the service runs', async () => {
  const service = await startService()
  expect((await service.get('/api/v1/tasks')).status).toBe(200)
  const admin = makeTokenIn(service.file, 'admin')
  await until(async () => (await service.get('/api/v1/tasks')).status === 401)
  expect((await as(service, admin).get('/api/v1/tasks')).status).toBe(200)
})

test('where the service is open a login of a proxy is not looked at; else it is refused, also where none is needed', async () => {
  const basic = { authorization: 'Basic dXNlcjpwYXNz' }
  const open = await startService()
  expect((await open.send('GET', '/api/v1/nodes', null, basic)).status).toBe(200)
  const guarded = await startGuarded()
  for (const authorization of [basic.authorization, 'Bearer', `Bearer ${foreign}`, `Bearer ${guarded.admin}x`]) {
    const answer = await guarded.send('GET', '/health', null, { authorization })
    expect([authorization, statusAndCode(answer)]).toEqual([authorization, UNAUTHORIZED])
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
  }
  expect((await guarded.get('/health')).status).toBe(200)
})

test('a token is good from its networks only', async () => {
  const made: string[] = []
  const service = await startGuarded({}, (token) => {
    made.push(token('viewer', { cidrs: ['10.0.0.0/8'] }), token('viewer', { cidrs: ['127.0.0.0/8'] }))
  })
  expect(await Promise.all(made.map((token) => nodes(as(service, token))))).toEqual([UNAUTHORIZED, IN])
})

test('after ten failed tries an address is answered 429, while a good token works from there; the log has each try', async () => {
  const lines: { event?: string; address?: string }[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as { event?: string }) })
  const service = await startGuarded({ count_loopback: true }, undefined, { log })
  const answers = await oneByOne(13, (i) => nodes(as(service, i % 2 === 0 ? foreign : `sis_typo${i}`)))
  expect(answers).toEqual([...Array<object>(10).fill(UNAUTHORIZED), ...Array<object>(3).fill(TOO_MANY)])
  expect(await nodes(service.asAdmin)).toEqual(IN)
  const late = await as(service, foreign).get('/health')
  expect(late.headers.get('retry-after')).toBe('300')
  const failed = lines.filter((line) => line.event === 'auth.failed')
  expect(failed.length).toBe(11)
  expect(failed[0]?.address).toBe('127.0.0.1')
  expect(JSON.stringify(lines)).not.toContain(foreign)
})

test('who shows no token may ask 20 times a second, and 100 times at once', async () => {
  const service = await startGuarded({ count_loopback: true })
  const ask = (caller: Caller) => Promise.all(Array.from({ length: 130 }, () => caller.get('/api/v1/stats')))
  const answers = await ask(as(service, null))
  const refused = answers.filter((a) => a.status === 429)
  expect(refused.length).toBeGreaterThan(0)
  expect(refused.length).toBeLessThanOrEqual(30)
  expect(refused[0]?.headers.get('ratelimit-policy')).toBe('"address";q=100;w=5')
  expect(refused[0]?.headers.get('ratelimit')).toMatch(/^"address";r=0;t=\d+$/)
  expect((await ask(service.asAdmin)).every((a) => a.status === 200)).toBe(true)
})

test('a token may ask as often as its limit says; a batch counts as its entries', async () => {
  let user = ''
  const service = await startGuarded({}, (token) => {
    user = token('user', { limits: { rate: 1 } })
  })
  const caller = as(service, user)
  expect((await caller.post('/api/v1/tasks/batch', { tasks: Array.from({ length: 9 }, () => task()) })).status).toBe(
    200,
  )
  const answers = await oneByOne(4, () => caller.get('/api/v1/models-none'))
  expect(answers.map((a) => a.status).sort()).toContain(429)
  const refused = answers.find((a) => a.status === 429)
  expect(refused?.body?.error).toContain('(rate)')
  expect(refused?.headers.get('ratelimit-policy')).toBe('"token";q=10;w=10')
})

test('bytes of a token are limited too', async () => {
  let user = ''
  const service = await startGuarded({}, (token) => {
    user = token('user', { limits: { bytes_per_second: 1024 } })
  })
  const caller = as(service, user)
  const send = () => caller.post('/api/v1/tasks', task({ user_input: 'x'.repeat(7000) }))
  expect((await send()).status).toBe(200)
  const refused = await send()
  expect([refused.status, refused.body?.error]).toEqual([429, expect.stringContaining('bytes_per_second')])
})

test('what an operator may not is forbidden, and refusals are one row of the audit', async () => {
  let operator = ''
  const service = await startGuarded({}, (token) => {
    operator = token('operator')
  })
  expect(statusAndCode(await as(service, operator).get('/api/v1/tokens'))).toEqual(FORBIDDEN)
  expect(await nodes(as(service, null))).toEqual(UNAUTHORIZED)
  await service.stop()
  const again = await startService({ database_path: service.file })
  const { body } = await as(again, service.admin).get('/api/v1/audit?action=access.refused')
  expect(body?.data.entries).toMatchObject([{ detail: { unauthorized: 1, forbidden: 1, count: 2 } }])
})

test('the file knows when a token was used last, after a while or when the service has stopped', async () => {
  const service = await startGuarded()
  const lastUse = async (at: typeof service.asAdmin) =>
    (await at.get('/api/v1/tokens')).body?.data.tokens[0].last_used_at
  expect(await lastUse(service.asAdmin)).toBeNull()
  await service.stop()
  const again = await startService({ database_path: service.file })
  expect(Date.now() / 1000 - (await lastUse(as(again, service.admin)))).toBeLessThan(60)
})

test('a warning of the service is told to operators, and not to everybody', async () => {
  const made: Record<string, string> = {}
  const service = await startGuarded({}, (token) => {
    for (const role of ['viewer', 'operator', 'user', 'metrics']) made[role] = token(role)
  })
  const warning = async (token: string | null) =>
    (await as(service, token).get('/health')).body?.data.warning as unknown
  const text = expect.stringContaining('--insecure changes nothing') as unknown
  expect(await warning(service.admin)).toEqual(text)
  expect(await warning(made['viewer'] ?? '')).toEqual(text)
  expect(await warning(made['operator'] ?? '')).toEqual(text)
  for (const token of [null, made['user'] ?? '', made['metrics'] ?? '']) expect(await warning(token)).toBeUndefined()
})
