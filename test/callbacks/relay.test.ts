import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createKeyFile } from '../../src/lib/data-keys.js'
import { checkDatabase } from '../../src/store/maintenance/check.js'
import {
  callbackIs,
  completes,
  SECRET,
  startCalling,
  startReceiver,
  status,
  verified,
  type Received,
} from '../support/callback-receiver.js'
import { configFile, serviceChild, signer } from '../support/child.js'
import { fakeTime } from '../support/fake-time.js'
import { startHttp } from '../support/http-server.js'
import { inspect, startService, type Service } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const sound = (file: string) => expect(checkDatabase(file).filter((f) => !f.ok)).toEqual([])
const cancelled = async (service: Service, callback_url: string, more: object = {}): Promise<string> => {
  const id = await service.submit({ callback_url, ...more })
  await service.post(`/api/v1/tasks/${id}/cancel`, {})
  return id
}
interface Callback {
  state: string
  tries: number
  next_try_at: number | null
  last_error: string | null
}
const callbackOf = async (service: Pick<Service, 'status'>, id: string): Promise<Callback> =>
  ((await service.status(id)) as { callback: Callback }).callback
const triedTimes = (service: Pick<Service, 'status'>, id: string, n: number): Promise<Callback> =>
  until(async () => {
    const callback = await callbackOf(service, id)
    return callback.tries === n ? callback : null
  }, `${n} failed tries`)

test('what has failed is tried again after 5 and 30 s, as the same message', async () => {
  const receiver = await startReceiver(status(503))
  const time = fakeTime()
  const service = await startCalling({}, {}, time)
  const id = await cancelled(service, receiver.hook)
  const first = await triedTimes(service, id, 1)
  expect(first).toMatchObject({ state: 'pending', last_error: 'the receiver has answered 503' })
  expect((first.next_try_at ?? 0) - Math.floor(time.wall() / 1000)).toBeGreaterThanOrEqual(4)
  expect((first.next_try_at ?? 0) - Math.floor(time.wall() / 1000)).toBeLessThanOrEqual(6)
  await time.pass(service, 4)
  expect(receiver.received).toHaveLength(1)
  await time.pass(service, 2)
  await triedTimes(service, id, 2)
  await time.pass(service, 28)
  expect(receiver.received).toHaveLength(2)
  receiver.answers(status(204))
  await time.pass(service, 7)
  expect(await callbackIs(service, id, 'delivered')).toMatchObject({ last_error: null, next_try_at: null })
  const calls = receiver.received
  expect(calls).toHaveLength(3)
  expect(new Set(calls.map((call) => call.id)).size).toBe(1)
  expect(new Set(calls.map((call) => call.text)).size).toBe(1)
  const times = calls.map((call) => Number(call.headers['webhook-timestamp']))
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(5)
  for (const call of calls) verified(call)
})

test('a receiver that says 410 gets it no more, until somebody asks for that', async () => {
  const receiver = await startReceiver(status(410))
  const service = await startCalling()
  const id = await cancelled(service, receiver.hook)
  expect(await callbackIs(service, id, 'dead')).toMatchObject({ tries: 1, next_try_at: null })
  expect((await service.get('/api/v1/callbacks?state=dead')).body?.data).toMatchObject({
    callbacks: [{ task_id: id, state: 'dead', tries: 1, url: receiver.hook }],
  })
  receiver.answers(status(200))
  const again = await service.post(`/api/v1/tasks/${id}/callback/retry`, {})
  expect(again.body?.data).toMatchObject({ task_id: id, state: 'pending', tries: 0 })
  await callbackIs(service, id, 'delivered')
  expect(receiver.received[0]?.id).toBe(receiver.received[1]?.id)
  expect((await service.post(`/api/v1/tasks/${id}/callback/retry`, {})).status).toBe(409)
  await service.stop()
  sound(service.file)
})

test.each(['127.0.0.1', 'localhost'])('nothing is sent to %s where private addresses are not allowed', async (host) => {
  const receiver = await startReceiver()
  const service = await startCalling({}, { allow_private: false })
  const id = await cancelled(service, `http://${host}:${receiver.port}/hook`)
  const { state, last_error } = await triedTimes(service, id, 1)
  expect([state, last_error]).toEqual(['pending', expect.stringContaining('no public address')])
  expect(receiver.received).toEqual([])
})

test('a slow receiver gets few at once, and holds up nobody else', async () => {
  const held: ServerResponse[] = []
  const slow = await startReceiver((_, response) => void held.push(response))
  const quick = await startReceiver()
  const service = await startCalling()
  const ids: string[] = []
  for (let i = 0; i < 20; i++) ids.push(await cancelled(service, slow.hook))
  await until(() => held.length === 4, 'the first four')
  // Another name is another host: both lead to this machine.
  for (let i = 0; i < 10; i++) await cancelled(service, `http://localhost:${quick.port}/hook`)
  await quick.nth(10)
  expect(held).toHaveLength(4)
  slow.answers(status(200))
  for (const response of held) response.end()
  for (const id of ids) await callbackIs(service, id, 'delivered')
  expect(new Set(slow.received.map((call) => call.id)).size).toBe(20)
  expect(slow.received).toHaveLength(20)
})

test('a stop waits for what is under way; what is not sent by then is sent after the next start', async () => {
  const receiver = await startReceiver((_, response) => void setTimeout(() => response.end(), 100))
  const database_path = join(tempDir(), 'inference.db')
  const service = await startCalling({ database_path })
  await cancelled(service, receiver.hook)
  await receiver.nth(1)
  await service.stop()
  const dead = await startHttp(() => undefined)
  await dead.stop()
  const second = await startCalling({ database_path })
  expect((await second.get('/api/v1/stats')).body?.data).toMatchObject({ callbacks: { delivered: 1, pending: 0 } })
  const id = await cancelled(second, `${dead.url}/hook`)
  await triedTimes(second, id, 1)
  await second.stop()
  sound(database_path)

  const back = await startReceiver(status(200), dead.port)
  const third = await startCalling({ database_path })
  expect((await third.post(`/api/v1/tasks/${id}/callback/retry`, {})).status).toBe(200)
  verified(await back.nth(1))
  expect(receiver.received).toHaveLength(1)
})

test('while a service sends none, what ends is kept for one that does', async () => {
  const receiver = await startReceiver()
  const database_path = join(tempDir(), 'inference.db')
  const service = await startCalling({ database_path })
  const id = await service.submit({ callback_url: receiver.hook })
  await service.stop()
  const without = await startService({ database_path })
  await completes(without)
  expect(await callbackOf(without, id)).toMatchObject({ state: 'pending' })
  await without.stop()
  expect(receiver.received).toEqual([])
  const again = await startCalling({ database_path })
  expect(verified(await receiver.nth(1))).toMatchObject({ type: 'task.completed', data: { task_id: id } })
  await callbackIs(again, id, 'delivered')
})

test('a service that is killed between a result and its callback sends it after the next start, as the same message', async () => {
  const dir = tempDir()
  const config = configFile(
    'database_path = "./inference.db"\nrestart_grace = 3600',
    dir,
    `${signer}\n[callbacks]\nsecret = "${SECRET}"\nallow_private = true\n`,
  )
  const database = ['--database', join(dir, 'inference.db')]
  // It has the first in its hands when the service is killed, and never answers; nobody has heard that it came.
  let first: Received | undefined
  const receiver = await startReceiver((_, __, received) => void (first = received))
  const service = await serviceChild(config, database)
  const id = await service.submit({ callback_url: receiver.hook })
  await completes(service)
  await until(() => first, 'the first callback')
  service.process.kill('SIGKILL')
  await service.exit
  sound(join(dir, 'inference.db'))

  receiver.answers(status(200))
  const again = await serviceChild(config, database)
  const second = await receiver.nth(2)
  expect([second.id, second.text]).toEqual([first?.id, first?.text])
  expect(verified(second)).toMatchObject({ type: 'task.completed', data: { task_id: id, status: 'completed' } })
  await callbackIs(again, id, 'delivered')
  again.process.kill('SIGKILL')
  await again.exit
  sound(join(dir, 'inference.db'))
})

test('callbacks are deleted with their tasks', async () => {
  const receiver = await startReceiver(status(500))
  const time = fakeTime()
  const service = await startCalling({ retention_days: 1 / 86_400 }, {}, time)
  const ids = [await cancelled(service, receiver.hook), await cancelled(service, receiver.hook)]
  for (const id of ids) await triedTimes(service, id, 1)
  await time.pass(service, 4)
  await until(async () => {
    await time.pass(service, 1)
    const { callbacks } = (await service.get('/api/v1/stats')).body?.data as { callbacks: Record<string, number> }
    return Object.values(callbacks).every((n) => n === 0)
  }, 'no callback')
  await service.stop()
  sound(service.file)
})

test('where texts are encrypted in the file the address is too', async () => {
  const receiver = await startReceiver()
  const dir = tempDir()
  const data_key_file = join(dir, 'keys')
  createKeyFile(data_key_file)
  const database_path = join(dir, 'inference.db')
  const plain = await startCalling({ database_path })
  const before = await plain.submit({ callback_url: `${receiver.hook}?token=one` })
  await plain.stop()
  const service = await startCalling({ database_path, data_key_file })
  const after = await service.submit({ callback_url: `${receiver.hook}?token=two` })
  const stored = (): string[] =>
    inspect(database_path, (db) =>
      db
        .prepare<[], { url: string }>('SELECT url FROM callbacks')
        .all()
        .map(({ url }) => url),
    )
  await until(() => stored().every((url) => url.startsWith('enc')), 'both addresses sealed')
  expect((await service.status(before)) as unknown).toMatchObject({ callback: { url: `${receiver.hook}?token=one` } })
  await service.post(`/api/v1/tasks/${after}/cancel`, {})
  expect((await receiver.nth(1)).path).toBe('/hook?token=two')
})
