import { expect, test } from 'vitest'
import { secretFor } from '../../src/callbacks/signing.js'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import { as, idOf, OWNER, startGuarded } from '../support/access.js'
import {
  callbackIs,
  completes,
  SECRET,
  startCalling,
  startReceiver,
  status,
  verified,
} from '../support/callback-receiver.js'
import { submission } from '../support/client-session.js'
import { startService, task } from '../support/service.js'
import { openSocket } from '../support/test-socket.js'
import { until } from '../support/wait.js'

const sound = (file: string) => expect(checkDatabase(file).filter((f) => !f.ok)).toEqual([])

test('the end of a task is posted to its callback_url, signed, with the status as its owner sees it', async () => {
  const receiver = await startReceiver()
  const service = await startCalling()
  const url = `${receiver.hook}?a=b%20c`
  const taskId = await service.submit({ callback_url: url, context: 'Be brief.' })
  expect(await service.status(taskId)).toMatchObject({
    callback: { url, state: 'waiting', tries: 0, next_try_at: null, last_error: null },
  })
  await completes(service, 'Paris 🎉')
  const call = await receiver.nth(1)
  await callbackIs(service, taskId, 'delivered')

  const { callback, ...shown } = (await service.status(taskId)) as Record<string, unknown>
  const body = verified(call)
  expect(body).toEqual({ type: 'task.completed', timestamp: expect.any(String) as string, data: shown })
  expect(callback).toEqual({ url, state: 'delivered', tries: 0, next_try_at: null, last_error: null })
  const { completed_at } = (shown as { result: { completed_at: number } }).result
  expect(Date.parse(body.timestamp)).toBe(completed_at * 1000)
  expect(call.path).toBe('/hook?a=b%20c')
  expect(call.headers).toMatchObject({
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(call.text)),
    'webhook-id': expect.stringMatching(/^msg_[0-9a-f-]{36}$/) as string,
    'user-agent': expect.stringMatching(/^stacks-inference-service\//) as string,
  })
  const detail = (await service.get(`/api/v1/tasks/${taskId}`)).body?.data as { callback: unknown }
  expect(detail.callback).toEqual(callback)
  expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({
    callbacks: { waiting: 0, pending: 0, delivered: 1, dead: 0 },
  })
  await service.stop()
  expect(receiver.received).toHaveLength(1)
  sound(service.file)
})

test('a body of megabytes is signed as a short one is', async () => {
  const receiver = await startReceiver()
  const service = await startCalling()
  await service.submit({ callback_url: receiver.hook, user_input: 'ü'.repeat(700_000) })
  await completes(service, '"\n𝄞'.repeat(300_000))
  const { data } = verified(await receiver.nth(1))
  expect(data['user_input']).toBe('ü'.repeat(700_000))
  expect(data['result']).toMatchObject({ output: '"\n𝄞'.repeat(300_000) })
})

test('every end is told: a failure, a cancellation, a time that is over', async () => {
  const receiver = await startReceiver()
  const service = await startCalling({ max_queue_time: 0.3 })
  await service.register('node-1')
  const failed = await service.submit({ callback_url: receiver.hook })
  await service.poll('node-1')
  const refusal = {
    task_id: failed,
    inference_node_id: 'node-1',
    error: 'too long',
    retryable: false,
    code: 'too_large',
  }
  expect((await service.post('/api/v1/tasks/fail', refusal)).status).toBe(200)
  const cancelled = await service.submit({ callback_url: receiver.hook })
  expect((await service.post(`/api/v1/tasks/${cancelled}/cancel`, {})).status).toBe(200)
  const late = await service.submit({ callback_url: receiver.hook, model_name: 'nobody-has-this' })
  await receiver.nth(3)
  const told = Object.fromEntries(
    receiver.received.map((call) => {
      const { type, data } = verified(call)
      return [data['task_id'], [type, data['status'], data['error'], data['code']]]
    }),
  )
  expect(told).toEqual({
    [failed]: ['task.failed', 'failed', 'too long', 'too_large'],
    [cancelled]: ['task.failed', 'failed', 'cancelled', undefined],
    [late]: ['task.timeout', 'timeout', expect.any(String), undefined],
  })
  expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(3)
})

test('a task that is opened again has its next end told as another message', async () => {
  const receiver = await startReceiver()
  const service = await startCalling()
  const taskId = await service.submit({ callback_url: receiver.hook })
  await service.post(`/api/v1/tasks/${taskId}/cancel`, {})
  await callbackIs(service, taskId, 'delivered')
  expect((await service.post(`/api/v1/tasks/${taskId}/retry`, {})).status).toBe(200)
  expect((await service.status(taskId)) as unknown).toMatchObject({ callback: { state: 'waiting', tries: 0 } })
  await completes(service)
  const [first, second] = [await receiver.nth(1), await receiver.nth(2)]
  expect([verified(first).type, verified(second).type]).toEqual(['task.failed', 'task.completed'])
  expect(first.id).not.toBe(second.id)
  await callbackIs(service, taskId, 'delivered')
  await service.stop()
  sound(service.file)
})

test('an end that could not be told is not told any more once the task is open again', async () => {
  const receiver = await startReceiver(status(500))
  const service = await startCalling()
  const taskId = await service.submit({ callback_url: receiver.hook })
  await service.post(`/api/v1/tasks/${taskId}/cancel`, {})
  const { id } = await receiver.nth(1)
  await until(async () => ((await service.status(taskId)) as { callback: { tries: number } }).callback.tries === 1)
  await service.post(`/api/v1/tasks/${taskId}/retry`, {})
  receiver.answers(status(204))
  expect((await service.post(`/api/v1/tasks/${taskId}/callback/retry`, {})).body).toMatchObject({ code: 'conflict' })
  await completes(service)
  const second = await receiver.nth(2)
  expect(second.id).not.toBe(id)
  expect(verified(second).type).toBe('task.completed')
})

test('a session of a submitter names a callback_url as REST does', async () => {
  const receiver = await startReceiver()
  const service = await startCalling()
  const socket = await openSocket<{ type: string; code?: string; task_id?: string }>(
    `ws://${service.host}/api/v1/tasks/connect`,
    ['inference-client.v1'],
  )
  await socket.next('session.welcome')
  socket.say(submission({ watch: 'none', callback_url: 'x' }))
  expect(await socket.next('error')).toMatchObject({ code: 'invalid_message' })
  socket.say(submission({ watch: 'none', callback_url: receiver.hook }))
  const { task_id } = await socket.next('task.submitted')
  await completes(service)
  expect(verified(await receiver.nth(1))).toMatchObject({ type: 'task.completed', data: { task_id } })
})

test('callback_url is compared when a task is submitted again, in a batch too', async () => {
  const receiver = await startReceiver()
  const service = await startCalling()
  const one = task({ task_id: 'one', callback_url: receiver.hook })
  const submit = async (body: object) => (await service.post('/api/v1/tasks/submit', body)).status
  expect(await submit(one)).toBe(200)
  expect(await submit(one)).toBe(200)
  expect(await submit({ ...one, callback_url: `${receiver.hook}/other` })).toBe(409)
  expect(await submit({ ...one, callback_url: null })).toBe(409)
  expect(await submit(task({ task_id: 'two' }))).toBe(200)
  expect(await submit(task({ task_id: 'two', callback_url: receiver.hook }))).toBe(409)
  const three = task({ task_id: 'three', callback_url: receiver.hook })
  const batch = await service.post('/api/v1/tasks/batch', { tasks: [three, { ...three, callback_url: null }, three] })
  expect((batch.body?.data as { results: unknown[] }).results).toMatchObject([
    { task_id: 'three' },
    { code: 'conflict' },
    { task_id: 'three' },
  ])
})

test('a service without a secret refuses callback_url with a sentence, and shows nothing of callbacks', async () => {
  const service = await startService()
  const answer = await service.post('/api/v1/tasks/submit', task({ callback_url: 'https://example.org/' }))
  expect([answer.status, answer.body?.error]).toEqual([400, expect.stringMatching(/\[callbacks\] secret/)])
  const taskId = await service.submit({ callback_url: null })
  expect(await service.status(taskId)).not.toHaveProperty('callback')
  expect((await service.get('/api/v1/stats')).body?.data).not.toHaveProperty('callbacks')
  expect((await service.get('/api/v1/callbacks')).status).toBe(404)
  expect((await service.post(`/api/v1/tasks/${taskId}/callback/retry`, {})).status).toBe(404)
})

test('callbacks of a token are signed with a secret of its own, and seen by whom they concern', async () => {
  const receiver = await startReceiver()
  const tokens: Record<string, string> = {}
  const service = await startGuarded(
    {},
    (token) => {
      tokens['user'] = token('user')
      tokens['other'] = token('user', { owners: ['ST2CY5V39NHDPWSXMW9QDT3HC3GD6Q6XX4CFRK9AG'] })
      tokens['viewer'] = token('viewer')
      tokens['operator'] = token('operator')
    },
    { callbacks: { secret: SECRET, allow_private: true } },
  )
  const by = (role: string) => as(service, tokens[role] ?? '')
  const made = await by('user').post('/api/v1/tasks/submit', task({ user_address: OWNER, callback_url: receiver.hook }))
  const { task_id } = made.body?.data as { task_id: string }
  await by('user').post(`/api/v1/tasks/${task_id}/cancel`, {})
  const call = await receiver.nth(1)
  const own = secretFor(SECRET, `token:${idOf(tokens['user'] ?? '')}`)
  expect(verified(call, own)).toMatchObject({ type: 'task.failed', data: { task_id } })
  expect(() => verified(call)).toThrow(/signature/)
  expect(() => verified(call, secretFor(SECRET, `token:${idOf(tokens['other'] ?? '')}`))).toThrow(/signature/)

  await until(async () => {
    const { callback } = (await by('user').get(`/api/v1/tasks/${task_id}`)).body?.data as {
      callback: { state: string }
    }
    return callback.state === 'delivered'
  })
  const detail = async (role: string) =>
    ((await by(role).get(`/api/v1/tasks/${task_id}`)).body?.data ?? null) as { callback: unknown } | null
  expect((await detail('viewer'))?.callback).toBeNull()
  expect((await detail('operator'))?.callback).toBeNull()
  expect(await detail('other')).toBeNull()
  const list = async (role: string) => by(role).get('/api/v1/callbacks?state=delivered')
  expect((await list('user')).status).toBe(403)
  expect((await list('viewer')).status).toBe(403)
  expect((await list('operator')).body?.data).toMatchObject({ callbacks: [{ task_id, url: null, host: '127.0.0.1' }] })
  expect((await service.asAdmin.get('/api/v1/callbacks')).body?.data).toMatchObject({
    callbacks: [{ task_id, url: receiver.hook, state: 'delivered', webhook_id: call.id }],
    next_cursor: null,
  })
  const retry = async (role: string) => (await by(role).post(`/api/v1/tasks/${task_id}/callback/retry`, {})).status
  expect([await retry('other'), await retry('viewer'), await retry('user'), await retry('operator')]).toEqual([
    404, 403, 409, 409,
  ])
})
