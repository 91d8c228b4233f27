import { expect, test } from 'vitest'
import { makeToken } from '../../src/wire/token.js'
import { bearer, idOf, makeTokenIn, OWNER, startGuarded, type Guarded } from '../support/access.js'
import { submission } from '../support/client-session.js'
import { startService, task } from '../support/service.js'
import { refusedUpgrade } from '../support/session-door.js'
import { openSocket } from '../support/test-socket.js'
import { rawSession } from '../support/raw-session.js'
import { until } from '../support/wait.js'
import { WebSocket } from 'ws'
import type { ClientServerMessage } from '../../src/wire/client-answers.js'

/** A session of a submitter, with a token at its upgrade or without. */
const connect = (service: Pick<Guarded, 'host'>, token: string | null) =>
  openSocket<ClientServerMessage>(`ws://${service.host}/api/v1/tasks/connect`, ['inference-client.v1'], {
    headers: bearer(token),
  })

/** A service and the token of one user. */
async function withUser(settings: Parameters<typeof startGuarded>[0] = {}, more: object = {}) {
  let user = ''
  const service = await startGuarded(settings, (token) => {
    user = token('user', more)
  })
  return { service, user }
}
const auth = {
  mode: 'auto' as const,
  anonymous_submit: false,
  public_stats: true,
  enrolment: undefined,
  probation_max_fee: 0,
  legacy_unsigned: [],
}

test('a program shows its token at the upgrade; a wrong one is 401 before the handshake', async () => {
  const { service, user } = await withUser()
  const session = await connect(service, user)
  session.say(submission({ ref: 'a' }))
  await session.next('task.submitted', { ref: 'a' })
  const answer = await new Promise<{ status: number; authenticate: string | undefined }>((resolve) => {
    const socket = new WebSocket(`ws://${service.host}/api/v1/tasks/connect`, ['inference-client.v1'], {
      headers: bearer(makeToken('usr').token),
    })
    socket.on('unexpected-response', (_, response) =>
      resolve({ status: response.statusCode ?? 0, authenticate: response.headers['www-authenticate'] }),
    )
    socket.on('error', () => undefined)
  })
  expect(answer).toEqual({ status: 401, authenticate: 'Bearer' })
  expect(await refusedUpgrade(service.host, ['other'])).toBe(400)
})

test('a web page shows its token in its first message, and may then do what its owner may', async () => {
  const { service, user } = await withUser()
  const session = await connect(service, null)
  await session.next('session.welcome')
  session.say([
    { type: 'session.auth', token: user },
    submission({ ref: 'a' }),
    submission({ ref: 'b', user_address: 'ST' }),
  ])
  expect(await session.next('session.authenticated')).toMatchObject({ role: 'user', expires_at: expect.any(Number) })
  await session.next('task.submitted', { ref: 'a' })
  expect(await session.next('error', { ref: 'b' })).toMatchObject({ code: 'forbidden' })
  session.say({ type: 'session.auth', token: user })
  expect(await session.next('error')).toMatchObject({ code: 'invalid_message' })
})

test('a first message with a wrong token closes the session with 4401', async () => {
  const { service } = await withUser()
  const session = await connect(service, null)
  session.say({ type: 'session.auth', token: makeToken('usr').token })
  expect(await session.next('error')).toMatchObject({ code: 'unauthorized' })
  expect(await session.closed).toMatchObject({ code: 4401 })
})

test('who shows nothing is answered unauthorized, and closed with 4401 after ten seconds', async () => {
  const { service } = await withUser()
  const session = await connect(service, null)
  session.say([submission({ ref: 'a' }), { type: 'task.watch', task_id: 'A' }])
  expect(await session.next('error', { ref: 'a' })).toMatchObject({ code: 'unauthorized' })
  expect(await session.next('error', { task_id: 'A' })).toMatchObject({ code: 'unauthorized' })
  const began = performance.now()
  expect(await session.closed).toMatchObject({ code: 4401 })
  expect(performance.now() - began).toBeGreaterThan(8000)
})

test('nothing larger than 64 KiB is read of who has not said who he is', async () => {
  const { service } = await withUser()
  const raw = await rawSession(service.host, '/api/v1/tasks/connect')
  raw.socket.write(raw.frame(JSON.stringify(submission({ user_input: 'x'.repeat(80_000) }))))
  await until(() => raw.closeCode() !== null)
  expect(raw.closeCode()).toBe(1009)
})

test('where anonymous submissions are taken, who shows nothing submits and watches his own', async () => {
  const { service, user } = await withUser({ auth: { ...auth, anonymous_submit: true } })
  const session = await connect(service, null)
  session.say(submission({ ref: 'a', task_id: 'A' }))
  await session.next('task.submitted', { ref: 'a' })
  const named = await connect(service, user)
  named.say({ type: 'task.watch', task_id: 'A' })
  expect(await named.next('error', { task_id: 'A' })).toMatchObject({ code: 'task_not_found' })
})

test('the sessions of a revoked token close with 4403 within two seconds, and its requests are 401', async () => {
  const { service, user } = await withUser()
  const sessions = [await connect(service, user), await connect(service, null)]
  sessions[1]?.say({ type: 'session.auth', token: user })
  await sessions[1]?.next('session.authenticated')
  const other = await connect(service, service.admin)
  const began = performance.now()
  expect((await service.asAdmin.send('DELETE', `/api/v1/tokens/${idOf(user)}`)).status).toBe(200)
  for (const session of sessions) expect(await session.closed).toMatchObject({ code: 4403 })
  expect(performance.now() - began).toBeLessThan(2500)
  expect((await service.send('GET', '/api/v1/tasks', null, bearer(user))).status).toBe(401)
  other.say(submission({ ref: 'a' }))
  await other.next('task.submitted', { ref: 'a' })
})

test('a session is told to drain before its token expires, and closes with 4401 when it does', async () => {
  const { service, user } = await withUser({}, { expires_in: 3 })
  const session = await connect(service, user)
  expect(await session.next('session.drain')).toMatchObject({ reason: 'token_expires', reconnect_after: 0 })
  session.say(submission({ ref: 'a' }))
  await session.next('task.submitted', { ref: 'a' })
  expect(await session.closed).toMatchObject({ code: 4401 })
})

test('sessions of an open service end when it begins to ask who they are', async () => {
  const service = await startService()
  const session = await connect(service, null)
  session.say(submission({ ref: 'a' }))
  await session.next('task.submitted', { ref: 'a' })
  makeTokenIn(service.file, 'admin')
  expect(await session.closed).toMatchObject({ code: 4401 })
})

test('what a user submits in a session is its own', async () => {
  const { service, user } = await withUser()
  const session = await connect(service, user)
  session.say(submission({ ref: 'a', task_id: 'A' }))
  await session.next('task.submitted', { ref: 'a' })
  const { body } = await service.send('GET', '/api/v1/tasks/A', null, bearer(user))
  expect(body?.data).toMatchObject({ user_address: OWNER, user_input: task().user_input })
})
