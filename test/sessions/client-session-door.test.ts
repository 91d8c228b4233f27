import { once } from 'node:events'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { fakeTimers } from '../support/fake-time.js'
import { connectClient, resultOf, submission } from '../support/client-session.js'
import { connectNode, dial } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { refusedUpgrade, sessionDoor } from '../support/session-door.js'
import { until } from '../support/wait.js'

const frameOf = (n: number, ref: string) =>
  JSON.stringify(Array.from({ length: n }, (_, i) => submission({ ref: `${ref}${i}`, watch: 'none' })))

test('more than 1,000 submissions without an answer are rate_limited, and the session stays', async () => {
  const { said, sessions, host } = await sessionDoor()
  const client = await connectClient({ host })
  for (const name of ['a', 'b', 'c', 'd', 'e']) client.socket.send(frameOf(250, name))
  await until(() => client.inbox.filter((m) => m.type === 'error').length === 250, '250 errors')
  for (const m of client.inbox.filter((e) => e.type === 'error'))
    expect(m).toMatchObject({ code: 'rate_limited', ref: expect.stringMatching(/^e/) })
  expect(said.map((o) => (o.op === 'clientSubmissions' ? o.list.length : o.op))).toEqual([250, 250, 250, 250])
  sessions.deliver([
    { session: 1, message: { type: 'task.submitted', ref: 'a0', task_id: 'A', status: 'pending' } },
    { session: 1, message: { type: 'error', code: 'conflict', message: '', ref: 'a1' } },
  ])
  client.socket.send(frameOf(3, 'f'))
  await client.next('error', { ref: 'f2' })
  expect(said.slice(4).map((o) => (o.op === 'clientSubmissions' ? o.list.map((s) => s.ref) : o.op))).toEqual([
    ['f0', 'f1'],
  ])
})

test('submissions of a frame are one operation, and the order of the frame is kept', async () => {
  const { said, host } = await sessionDoor()
  const client = await connectClient({ host })
  client.say([
    submission({ ref: '1' }),
    submission({ ref: '2', user_address: '' }),
    submission({ ref: '3' }),
    { type: 'task.cancel', task_id: 'x' },
    submission({ ref: '4' }),
  ])
  expect(await client.next('error')).toMatchObject({ ref: '2', code: 'invalid_message' })
  expect(said.map((o) => (o.op === 'clientSubmissions' ? o.list.map((s) => s.ref).join() : o.op))).toEqual([
    '1,3',
    'clientMessage',
    '4',
  ])
})

test('a client that does not answer a ping is closed with 4408; one that does stays', async () => {
  const timers = fakeTimers('setInterval', 'clearInterval')
  const { sessions, host } = await sessionDoor()
  const there = await connectClient({ host })
  const silent = await connectClient({ host }, { autoPong: false })
  const asked = once(there.socket, 'ping')
  timers.jump(30)
  await asked
  there.socket.ping()
  await once(there.socket, 'pong') // so its own pong, which it sent before, has come
  timers.jump(30)
  expect((await silent.closed).code).toBe(4408)
  await until(() => sessions.size() === 1, 'the end of one session')
  expect(there.socket.readyState).toBe(WebSocket.OPEN)
})

test('a reader that falls behind its buffer is closed with 4429: at once when very much waits, else when it takes nothing of it for 5 s', async () => {
  const { sessions, host } = await sessionDoor()
  const clients = [await connectClient({ host }), await connectClient({ host }), await connectClient({ host })] as const
  const [much, stuck, slow] = clients
  for (const { next } of clients) await next('session.welcome')
  const timers = fakeTimers()
  for (const { socket } of clients) socket.pause()
  const results = (session: number, n: number) =>
    Array.from({ length: n }, (_, i) => ({ session, message: resultOf(`T${i}`, 'a'.repeat(4_000_000)) }))
  sessions.deliver([...results(2, 8), ...results(3, 8)])
  sessions.deliver(results(1, 20))
  much.socket.resume()
  expect((await much.closed).code).toBe(4429)
  slow.socket.resume()
  for (let i = 0; i < 8; i++) await slow.next('task.result')
  timers.jump(5)
  timers.jump(5) // the first five seconds began before the buffers of the system had taken what they can
  stuck.socket.resume()
  expect((await stuck.closed).code).toBe(4429)
  expect(slow.socket.readyState).toBe(WebSocket.OPEN)
})

test('what does not fit is answered and changes nothing; after 10 of them the session closes with 4400', async () => {
  const service = await startService()
  const client = await connectClient(service)
  const wrong: unknown[] = [
    {},
    [],
    'text',
    { type: 'task.steal' },
    { type: 'task.submit' },
    submission({ ref: 'r'.repeat(129) }),
    submission({ ref: 'r1', watch: 'all' }),
    submission({ ref: 'r2', infer_fee: -1 }),
    { type: 'task.watch', task_id: 'A', watch: 'none' },
    { type: 'task.watch', task_id: 'A', offset: 1.5 },
  ]
  for (const message of wrong) client.say(message)
  client.say(submission({ ref: 'good', color: 'blue' })) // unknown fields are ignored
  await client.next('task.submitted', { ref: 'good' })
  const errors = client.inbox.filter((m) => m.type === 'error')
  expect(errors.map((e) => [e.code, e.ref])).toEqual(
    wrong.map((w, i) => [i === 3 ? 'unknown_type' : 'invalid_message', i === 6 ? 'r1' : i === 7 ? 'r2' : undefined]),
  )
  client.socket.send('{')
  expect((await client.closed).code).toBe(4400)
  expect((await service.get('/api/v1/stats')).body?.data.total_tasks).toBe(1)
})

test('frames that no session takes close it', async () => {
  const service = await startService({ max_message_bytes: 16 * 1024, max_messages_per_second: 10 })
  const binary = await connectClient(service)
  binary.socket.send(Buffer.from('{}'))
  expect((await binary.closed).code).toBe(1003)
  const large = await connectClient(service)
  large.submit({ user_input: 'a'.repeat(17_000) })
  expect((await large.closed).code).toBe(1009)
  const fast = await connectClient(service)
  fast.say(Array.from({ length: 200 }, () => ({ type: 'task.unwatch', task_id: 'A' })))
  expect(await fast.next('error')).toMatchObject({ code: 'rate_limited' })
  expect((await fast.closed).code).toBe(4429)
})

test('an upgrade is refused as for nodes, and a plain GET is told to upgrade', async () => {
  const service = await startService({ max_sessions: 2, max_handshakes: 1 })
  expect(await service.get('/api/v1/tasks/connect')).toMatchObject({ status: 426, body: { code: 'upgrade_required' } })
  expect((await service.get('/api/v1/tasks/connect')).headers.get('upgrade')).toBe('websocket')
  expect(await refusedUpgrade(service.host, ['inference-node.v1'])).toBe(400)
  expect(await refusedUpgrade(service.host, ['inference-client.v1'], '/api/v1/nodes/connect')).toBe(400)
  expect(await refusedUpgrade(service.host, undefined, '/api/v1/elsewhere')).toBe(404)
  await dial(service) // in its handshake: of submitters there is none
  const client = await connectClient(service, { protocols: [] })
  await client.next('session.welcome')
  expect(client.socket.protocol).toBe('')
  expect(await refusedUpgrade(service.host)).toBe(503)
  client.socket.terminate()
  await until(
    async () => connectClient(service).then((c) => c.socket.readyState === WebSocket.OPEN),
    'the place of one that left',
  )
})

test('every session of both kinds has a number of its own', async () => {
  const service = await startService()
  const client = await connectClient(service)
  const node = await connectNode(service, 'n')
  expect(node.welcome.session_id).toBe('2')
  client.submit({ ref: '1' })
  await client.next('task.submitted')
  await node.next('task.assign')
})
