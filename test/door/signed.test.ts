import { expect, test } from 'vitest'
import { completeText, failText, pollText, queryText } from '../../src/chain/signed-calls.js'
import { as, bearer, startGuarded, type Guarded } from '../support/access.js'
import { identity, type Identity } from '../support/identity.js'
import { addressOfWallet, seconds, signLow, signMessage } from '../support/signatures.js'
import { startService, task } from '../support/service.js'

const node_id = 'n1'
const auth = {
  mode: 'auto' as const,
  anonymous_submit: false,
  public_stats: true,
  enrolment: undefined,
  probation_max_fee: 1_000_000,
  legacy_unsigned: [] as string[],
}

/** A service with a node that signs its calls, registered by its token, and tasks that wait. */
async function withNode(tasks = 2) {
  let token = ''
  const service = await startGuarded({}, (make) => {
    token = make('node')
  })
  const node = identity('signs')
  const registered = await as(service, token).post('/api/v1/nodes/register', {
    node_id,
    endpoint: '',
    public_key: node.publicKey,
    supported_models: ['llama'],
    max_concurrent_tasks: 5,
  })
  expect(registered.body).toMatchObject({ success: true })
  for (let i = 1; i <= tasks; i++)
    await service.asAdmin.post('/api/v1/tasks', task({ task_id: `A${i}`, infer_fee: 10 - i }))
  return { service, node, token }
}

const poll = (service: Guarded, key: Identity, timestamp = seconds()) =>
  service.post('/api/v1/nodes/tasks', { node_id, timestamp, signature: signLow(key, pollText({ node_id, timestamp })) })

test('a signed poll needs no token; the same one again gets the same attempt, and nothing more', async () => {
  const { service, node } = await withNode()
  const timestamp = seconds()
  const first = await poll(service, node, timestamp)
  expect([first.status, first.body?.data]).toEqual([200, expect.objectContaining({ task_id: 'A1', attempt: 1 })])
  for (let i = 0; i < 3; i++) expect((await poll(service, node, timestamp)).body).toEqual(first.body)
  const next = await poll(service, node, timestamp + 1)
  expect(next.body?.data).toMatchObject({ task_id: 'A2' })
  expect((await poll(service, node, timestamp + 2)).status).toBe(204)
  expect((await service.asAdmin.get('/api/v1/stats')).body?.data).toMatchObject({ processing_tasks: 2 })
})

test('a poll that is not signed by its node is refused in the words that nodes know', async () => {
  const { service, node } = await withNode()
  const timestamp = seconds()
  const say = async (body: object) => {
    const answer = await service.post('/api/v1/nodes/tasks', { node_id, timestamp, signature: 'ab', ...body })
    return [answer.status, answer.body?.error]
  }
  expect(await say({ timestamp: 1 })).toEqual([400, 'Request timestamp expired (must be within 5 minutes)'])
  expect(await say({ node_id: 'nobody' })).toEqual([403, 'Node nobody not registered'])
  expect(await say({ signature: 'xy' })).toEqual([400, 'Invalid signature hex: bad character x for hex string'])
  expect(await say({})).toEqual([400, 'Invalid signature length: 1 (expected 64 or 65)'])
  const foreign = signLow(identity('another'), pollText({ node_id, timestamp }))
  expect(await say({ signature: foreign })).toEqual([403, 'Signature verification failed'])
  expect((await poll(service, node)).status).toBe(200)
})

test('results are signed over what they say; one that was changed on its way is refused', async () => {
  const { service, node } = await withNode()
  const timestamp = seconds()
  await poll(service, node, timestamp)
  await poll(service, node, timestamp + 1)
  const complete = (output: string, signed = output) => {
    const signature = signLow(node, completeText({ node_id, task_id: 'A1', timestamp, output: signed }))
    const body = { task_id: 'A1', output, confidence: 1, inference_node_id: node_id, timestamp, signature }
    return service.post('/api/v1/tasks/complete', body)
  }
  expect((await complete('Paris', 'Rome')).body).toMatchObject({ code: 'forbidden' })
  expect((await complete('Paris')).body).toEqual({ success: true, data: 'Task completed', error: null })
  const error = 'é'.repeat(5000)
  const fail = { node_id, task_id: 'A2', timestamp, error, retryable: false }
  const failed = await service.post('/api/v1/tasks/fail', {
    task_id: 'A2',
    error,
    retryable: false,
    inference_node_id: node_id,
    timestamp,
    signature: signLow(node, failText(fail)),
  })
  expect(failed.body).toMatchObject({ success: true })
  const stored = async (id: string) => (await service.asAdmin.get(`/api/v1/tasks/${id}/status`)).body?.data
  expect(await stored('A1')).toMatchObject({ status: 'completed', result: { output: 'Paris' } })
  expect(await stored('A2')).toMatchObject({ status: 'failed', error: error.slice(0, 4096) })
  const unsigned = { task_id: 'A1', output: 'x', confidence: 1, inference_node_id: node_id }
  expect((await service.post('/api/v1/tasks/complete', unsigned)).status).toBe(401)
  const timeless = { ...unsigned, signature: 'ab' }
  expect((await service.post('/api/v1/tasks/complete', timeless)).body?.error).toContain('timestamp: is missing')
})

test('a token of a node speaks for that node, and for no other', async () => {
  const { service, token } = await withNode()
  expect((await as(service, token).get('/api/v1/nodes/n1/tasks')).body?.data).toMatchObject({ task_id: 'A1' })
  expect((await as(service, token).get('/api/v1/nodes/n2/tasks')).status).toBe(403)
  expect((await as(service, token).post('/api/v1/nodes/heartbeat', { node_id: 'n2', status: 'busy' })).status).toBe(403)
})

test('machines of a legacy network are believed which node they are, and nothing else', async () => {
  const service = await startGuarded({ auth: { ...auth, legacy_unsigned: ['127.0.0.0/8'] } })
  expect((await service.register('old', { max_concurrent_tasks: 2 })).body).toMatchObject({ success: true })
  await service.asAdmin.post('/api/v1/tasks', task({ task_id: 'A' }))
  expect(await service.poll('old')).toMatchObject({ task_id: 'A' })
  const done = { task_id: 'A', output: 'x', confidence: 1, inference_node_id: 'old' }
  expect((await service.post('/api/v1/tasks/complete', done)).body).toMatchObject({ success: true })
  for (const path of ['/api/v1/tasks/A', '/api/v1/nodes', '/api/v1/tasks'])
    expect((await service.get(path)).status).toBe(401)
  expect((await service.post('/api/v1/tasks', task())).status).toBe(401)
  const elsewhere = await startGuarded({ auth: { ...auth, legacy_unsigned: ['10.0.0.0/8'] } })
  expect((await elsewhere.register('old')).status).toBe(401)
})

const wallet = identity('wallet')
const address = addressOfWallet(wallet)
const query = (service: Pick<Guarded, 'post'>, task_id: string, who: Identity = wallet, timestamp = seconds()) =>
  service.post('/api/v1/tasks/status', {
    task_id,
    public_key: who.publicKey,
    signature: signLow(who, queryText({ task_id, timestamp })),
    timestamp,
  })

test('the wallet that a task was submitted for asks for it by its signature, with and without authentication', async () => {
  const open = await startService()
  await open.submit({ task_id: 'A', user_address: address })
  const guarded = await startGuarded()
  await guarded.asAdmin.post('/api/v1/tasks', task({ task_id: 'A', user_address: address }))
  for (const service of [open, guarded]) {
    const { status, body } = await query(service, 'A')
    expect([status, body?.data]).toEqual([
      200,
      expect.objectContaining({ status: 'pending', user_input: task().user_input }),
    ])
    const refusals = [
      await query(service, 'none'),
      await query(service, 'A', identity('somebody else')),
      await query(service, 'A', wallet, 1),
    ]
    expect(refusals.map((a) => [a.status, a.body?.error])).toEqual([
      [404, 'Task not found'],
      [403, 'Unauthorized: you are not the owner of this task'],
      [401, 'Request expired. Timestamp must be within 5 minutes.'],
    ])
  }
})

test('a wallet signs in with the text that it is given, once, and its token is that of a user for its address', async () => {
  const service = await startGuarded()
  const challenge = await service.post('/api/v1/auth/challenge', { address })
  const { message, expires_at } = challenge.body?.data as { message: string; expires_at: number }
  expect(message).toContain(`${service.host} wants you to sign in`)
  expect(expires_at - seconds()).toBeGreaterThan(290)
  const answer = (signature: string) =>
    service.post('/api/v1/auth/token', { address, public_key: wallet.publicKey, signature })
  expect((await answer(signMessage(wallet, `${message} `))).status).toBe(401)
  expect((await answer(signMessage(identity('another'), message))).status).toBe(401)
  const signature = signMessage(wallet, message)
  const [first, second] = await Promise.all([answer(signature), answer(signature)])
  expect([first.status, second.status].sort()).toEqual([200, 401])
  const { token } = ((first.status === 200 ? first : second).body?.data ?? {}) as { token: string }
  const user = as(service, token)
  expect((await user.post('/api/v1/tasks', task({ task_id: 'A', user_address: address }))).status).toBe(200)
  expect((await user.get('/api/v1/tasks/A')).body?.data).toMatchObject({ user_address: address })
  expect((await user.post('/api/v1/tasks', task())).status).toBe(403)
  expect((await user.get('/api/v1/tokens')).status).toBe(403)
  expect((await answer(signature)).status).toBe(401)
  await service.stop()
  const again = await startService({ database_path: service.file })
  expect((await again.send('GET', '/api/v1/tasks', null, bearer(token))).status).toBe(401)
})

test('an address keeps five challenges, and one that is none of the network gets none', async () => {
  const service = await startGuarded()
  const ask = async () =>
    ((await service.post('/api/v1/auth/challenge', { address })).body?.data as { message: string }).message
  const first = await ask()
  for (let i = 0; i < 5; i++) await ask()
  const answer = { address, public_key: wallet.publicKey, signature: signMessage(wallet, first) }
  expect((await service.post('/api/v1/auth/token', answer)).status).toBe(401)
  const wrong = await service.post('/api/v1/auth/challenge', { address: 'SP1P72Z3704VMT3DMHPP2CB8TGQWGDBHD3RPR9GZS' })
  expect([wrong.status, wrong.body?.error]).toEqual([400, expect.stringContaining('address of testnet')])
})
