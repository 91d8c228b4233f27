import { expect, test } from 'vitest'
import { createSigner, encrypt } from '../../src/chain/encryption.js'
import type { CoordinatorParts } from '../../src/coordinator.js'
import { systemTime } from '../../src/lib/clock.js'
import { connectClient } from '../support/client-session.js'
import { keyFile, wordsIn } from '../support/data-keys.js'
import { connectNode } from '../support/node-session.js'
import { inspect, startService, task, type Service } from '../support/service.js'

const signer = { stacks_private_key: `${'01'.repeat(32)}01`, endpoint: 'http://localhost', network: 'testnet' } as const
const { publicKey } = createSigner(signer.stacks_private_key, 'testnet')
const user_input = 'a prompt that nobody on the way can read'
const context = ''

const start = (settings: Parameters<typeof startService>[0] = {}, parts: Partial<CoordinatorParts> = {}) =>
  startService(settings, systemTime, { signer, ...parts })
/** A submission as a client encrypts it. */
const encrypted = (more: Record<string, unknown> = {}, key = publicKey) =>
  task({
    is_encrypted: true,
    signer_public_key: key,
    user_input: encrypt(user_input, key),
    context: encrypt(context, key),
    ...more,
  })
const rowOf = (service: Service, id: string) =>
  inspect(service.file, (db) =>
    db
      .prepare<[string], { user_input: string; context: string; is_encrypted: number }>(
        'SELECT user_input, context, is_encrypted FROM inference_tasks WHERE task_id = ?',
      )
      .get(id),
  )
const count = (service: Service): unknown =>
  inspect(service.file, (db) => db.prepare('SELECT count(*) FROM inference_tasks').pluck().get())

test('everybody is told what to encrypt for', async () => {
  const service = await start()
  expect((await service.get('/api/v1/encryption/public-key')).body?.data).toEqual({
    public_key: publicKey,
    signer_address: createSigner(signer.stacks_private_key, 'testnet').address,
  })
  const without = await startService()
  expect((await without.get('/api/v1/encryption/public-key')).body).toMatchObject({ code: 'not_found' })
})

test('an encrypted task is stored as it came, and in the clear for its node and its owner', async () => {
  const service = await start()
  const body = encrypted({ task_id: 'e' })
  const answer = await service.post('/api/v1/tasks/submit', body)
  expect(answer.body?.data).toMatchObject({
    task_id: 'e',
    encrypted: true,
    message: 'Inference task submitted with end-to-end encryption',
  })
  expect(rowOf(service, 'e')).toEqual({ user_input: body.user_input, context: body.context, is_encrypted: 1 })
  expect(wordsIn(service.file, [user_input])).toEqual([])
  expect(await service.status('e')).toMatchObject({ user_input, context })
  expect((await service.get('/api/v1/tasks/e')).body?.data).toMatchObject({ user_input, context })
  const node = await connectNode(service, 'node')
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'e', user_input, context })
  expect(wordsIn(service.file, [user_input])).toEqual([])
})

test('a task that is handed out after a restart, to a poll and to a session, is decrypted again', async () => {
  const first = await start()
  for (const task_id of ['a', 'b']) await first.post('/api/v1/tasks/submit', encrypted({ task_id }))
  await first.stop()
  const service = await start({ database_path: first.file })
  await service.register('polls')
  expect(await service.poll('polls')).toMatchObject({ task_id: 'a', user_input, context })
  expect(await service.poll('polls')).toMatchObject({ task_id: 'a', user_input, context })
  const node = await connectNode(service, 'node')
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'b', user_input, context })
})

test('the same submission again, as it was sent, is known; encrypted anew it is another', async () => {
  for (const settings of [{}, { data_key_file: keyFile('11') }]) {
    const service = await start(settings)
    const body = encrypted({ task_id: 'e' })
    const submit = async (more: object) => (await service.post('/api/v1/tasks/submit', { ...body, ...more })).status
    expect(await submit({})).toBe(200)
    expect(await submit({})).toBe(200)
    expect(await submit(encrypted({ task_id: 'e' }))).toBe(409)
    expect(await submit({ is_encrypted: false })).toBe(409)
    expect(await submit({ is_encrypted: false, user_input, context })).toBe(409)
    expect(wordsIn(service.file, [user_input, 'ephemeral_public_key'])).toEqual(
      'data_key_file' in settings ? [] : ['ephemeral_public_key'],
    )
    expect(await service.status('e')).toMatchObject({ user_input, context })
  }
})

const change = (text: string, more: object): string => JSON.stringify({ ...(JSON.parse(text) as object), ...more })

test('what cannot be decrypted is 400 that names the field, over REST and in a session, and nothing is stored', async () => {
  const service = await start()
  const other = createSigner('02'.repeat(32), 'testnet').publicKey
  const good = encrypted()
  const wrong: [more: object, message: RegExp][] = [
    [{ user_input: 'plain' }, /^user_input: must be an encrypted text/],
    [{ context: '' }, /^context: must be an encrypted text/],
    [{ context: undefined }, /^context: must be an encrypted text/],
    [{ user_input: encrypt(user_input, other) }, /^user_input: signer_public_key: is not the key of this service/],
    [{ context: change(encrypt('', other), { signer_public_key: publicKey }) }, /^context: ciphertext: cannot be/],
    [{ user_input: change(good.user_input, { nonce: '00' }) }, /^user_input: nonce: /],
    [{ user_input: change(good.user_input, { nonce: '00'.repeat(12) }) }, /^user_input: ciphertext: cannot be/],
    [{ user_input: change(good.user_input, { ephemeral_public_key: `02${'ff'.repeat(32)}` }) }, /no point/],
  ]
  const client = await connectClient(service)
  for (const [more, message] of wrong) {
    const body = { ...good, ...more }
    expect((await service.post('/api/v1/tasks/submit', body)).body).toMatchObject({
      code: 'invalid_request',
      error: expect.stringMatching(message),
    })
    const batch = await service.post('/api/v1/tasks/batch', { tasks: [body] })
    expect(batch.body?.data.results).toMatchObject([{ code: 'invalid_request', error: expect.stringMatching(message) }])
    client.submit({ ...body, ref: 'wrong' })
    expect(await client.next('error')).toMatchObject({
      code: 'invalid_message',
      message: expect.stringMatching(message),
      ref: 'wrong',
    })
  }
  expect(count(service)).toBe(0)
})

test('a session keeps its order: what is encrypted, what is not, and what is asked of a task', async () => {
  const service = await start()
  const client = await connectClient(service)
  client.submit({ ...encrypted({ task_id: 'one' }), ref: '1' })
  client.submit({ task_id: 'two', ref: '2' })
  client.submit({ ...encrypted({ task_id: 'bad', context: 'x' }), ref: '3' })
  client.submit({ ...encrypted({ task_id: 'four' }), ref: '4' })
  client.say({ type: 'task.cancel', task_id: 'four' })
  for (const task_id of ['one', 'two', 'four'])
    expect(await client.next('task.submitted')).toMatchObject({ task_id, status: 'pending' })
  expect(await client.next('task.result')).toMatchObject({ task_id: 'four', status: 'failed', error: 'cancelled' })
  const order = inspect(service.file, (db) =>
    db.prepare('SELECT task_id FROM inference_tasks ORDER BY rowid').pluck().all(),
  )
  expect(order).toEqual(['one', 'two', 'four'])
  expect(await service.status('one')).toMatchObject({ user_input, context })
})

test('the sizes hold for what is sent and for what it says', async () => {
  const service = await start({ max_message_bytes: 16 * 1024 })
  const submit = async (text: string) =>
    (await service.post('/api/v1/tasks/submit', encrypted({ user_input: encrypt(text, publicKey) }))).body?.code
  expect(await submit('x'.repeat(5000))).toBeUndefined()
  // Twice as long in hex.
  expect(await submit('x'.repeat(8000))).toBe('too_large')
  // A character that JSON writes as six.
  expect(await submit('\u0001'.repeat(4000))).toBe('too_large')
})

test('a batch of very many encrypted tasks holds up nothing else for long', { timeout: 60_000 }, async () => {
  const service = await start()
  const tasks = Array.from({ length: 300 }, (_, i) => encrypted({ task_id: `t-${i}` }))
  let longest = 0
  let asked = 0
  const batch = service.post('/api/v1/tasks/batch', { tasks })
  let done = false
  void batch.then(() => (done = true))
  while (!done) {
    const began = performance.now()
    expect((await service.get('/health')).status).toBe(200)
    longest = Math.max(longest, performance.now() - began)
    asked++
  }
  expect((await batch).body?.data.results).toHaveLength(300)
  expect(count(service)).toBe(300)
  expect(asked).toBeGreaterThan(5)
  expect(longest).toBeLessThan(300) // of a few seconds in all; a turn takes a few ms, on a machine that is busy more
})

test('a task for a signer whose key is gone is passed over, and can be cancelled', async () => {
  const first = await start()
  await first.post('/api/v1/tasks/submit', encrypted({ task_id: 'old' }))
  await first.submit({ task_id: 'plain' })
  await first.stop()
  const service = await start(
    { database_path: first.file },
    { signer: { ...signer, stacks_private_key: '02'.repeat(32) } },
  )
  expect((await service.get('/api/v1/tasks/old/status')).body).toMatchObject({ code: 'internal' })
  const node = await connectNode(service, 'node', { max_concurrent_tasks: 2 })
  expect(await node.next('task.assign')).toMatchObject({ task_id: 'plain' })
  expect((await service.post('/api/v1/tasks/old/cancel', {})).status).toBe(200)
})
