import { expect, test } from 'vitest'
import { createSigner, encrypt } from '../../src/chain/encryption.js'
import { systemTime } from '../../src/lib/clock.js'
import { as, OTHER, startGuarded } from '../support/access.js'
import { keyFile } from '../support/data-keys.js'
import { identity } from '../support/identity.js'
import { beginTask, connectNode, dial, fail, hello, nextAssign, nextSettled } from '../support/node-session.js'
import { receiptOf, sha256, signer } from '../support/receipts.js'
import { startService, task, type Service } from '../support/service.js'

const { publicKey, address } = createSigner(signer.stacks_private_key, 'testnet')
const start = (settings: Parameters<typeof startService>[0] = {}) => startService(settings, systemTime, { signer })

/** A task that this node has completed. */
async function completed(service: Service, nodeId: string, taskId: string, output = 'Paris') {
  const node = await connectNode(service, nodeId)
  const a = await beginTask(service, node, taskId)
  node.complete(a, output)
  await nextSettled(node, taskId)
  return node
}

test('a receipt says what was asked, what was answered, by whom and when, and the service has signed it', async () => {
  const service = await start()
  const before = Math.floor(Date.now() / 1000)
  const node = await connectNode(service, 'node-1')
  const user_input = 'Was heißt „Pacht“?\n\u0001 𝒳'
  const a = await beginTask(service, node, 'R-1', { user_input, context: 'law', fee: 7 })
  node.complete(a, 'Ein Recht auf Zeit.')
  await nextSettled(node, 'R-1')
  const { receipt } = await receiptOf(service, 'R-1')
  const { created_at, assigned_at, accepted_at, completed_at, ...rest } = receipt
  expect(rest).toEqual({
    type: 'inference-receipt.v1',
    task_id: 'R-1',
    model_name: 'llama-3-8b',
    input_hash: sha256(user_input),
    context_hash: sha256('law'),
    output_hash: sha256('Ein Recht auf Zeit.'),
    encrypted: false,
    node_id: 'node-1',
    node_key: identity('node-1').publicKey,
    node_key_proven: true,
    node_signature: null,
    attempt: 1,
    fee: 7,
    infer_fee: 2500,
    txid: null,
    payee: null,
    network: 'testnet',
    service_key: publicKey,
    service_address: address,
  })
  const times = [before, created_at, assigned_at, accepted_at, completed_at, Math.ceil(Date.now() / 1000)]
  expect(times).toEqual([...times].sort((x, y) => Number(x) - Number(y)))
  expect((await receiptOf(service, 'R-1')).receipt).toEqual(receipt)
})

test('a receipt says the same after its node has another key, and after it was forgotten', async () => {
  const service = await start()
  const old = await completed(service, 'n', 'before')
  const { receipt } = await receiptOf(service, 'before')
  const next = identity('the new key of n')
  expect((await service.post('/api/v1/nodes/n/rekey', { public_key: next.publicKey })).status).toBe(200)
  await old.closed
  const again = await dial(service)
  const { nonce } = await again.next('session.challenge')
  again.say(hello(service, 'n', nonce, {}, next))
  await again.next('session.welcome')
  again.complete(await beginTask(service, again, 'after'))
  await nextSettled(again, 'after')
  expect((await receiptOf(service, 'before')).receipt).toEqual(receipt)
  expect(receipt.node_key).toBe(identity('n').publicKey)
  const second = (await receiptOf(service, 'after')).receipt
  expect(second).toMatchObject({ node_id: 'n', node_key: next.publicKey, node_key_proven: true })
  again.socket.close(1000)
  await again.closed
  expect((await service.send('DELETE', '/api/v1/nodes/n')).status).toBe(200)
  expect((await receiptOf(service, 'before')).receipt).toEqual(receipt)
  expect((await receiptOf(service, 'after')).receipt).toEqual(second)
})

test('the key of a node that polls is the one it was registered with, which it has not proven; what is no key is none', async () => {
  const service = await start()
  const { publicKey: registered } = identity('polls')
  await service.register('polls', { public_key: `0x${registered.toUpperCase()}` })
  await service.register('nokey')
  for (const [node, id] of [
    ['polls', 'a'],
    ['nokey', 'b'],
  ] as const) {
    await service.submit({ task_id: id })
    expect(await service.poll(node)).toMatchObject({ task_id: id })
    const done = { task_id: id, output: 'x', confidence: 1, inference_node_id: node }
    expect((await service.post('/api/v1/tasks/complete', done)).status).toBe(200)
  }
  expect((await receiptOf(service, 'a')).receipt).toMatchObject({ node_key: registered, node_key_proven: false })
  expect((await receiptOf(service, 'b')).receipt).toMatchObject({ node_key: null, node_key_proven: false })
  // The same key is proven later: what came before it came under one that was not.
  const node = await connectNode(service, 'polls')
  node.complete(await beginTask(service, node, 'c'))
  await nextSettled(node, 'c')
  expect((await receiptOf(service, 'c')).receipt).toMatchObject({ node_key: registered, node_key_proven: true })
  expect((await receiptOf(service, 'a')).receipt).toMatchObject({ node_key_proven: false })
})

test('the attempt is the one that brought the result, also after a restart', async () => {
  const service = await start()
  const node = await connectNode(service, 'n')
  const first = await beginTask(service, node, 'T')
  const other = await connectNode(service, 'o')
  fail(node, first)
  const second = await nextAssign(other, 'T')
  other.complete(second)
  await nextSettled(other, 'T')
  const { receipt } = await receiptOf(service, 'T')
  expect(receipt).toMatchObject({ attempt: 2, node_id: 'o', node_key: identity('o').publicKey })
  await service.stop()
  const again = await start({ database_path: service.file })
  expect((await receiptOf(again, 'T')).receipt).toEqual(receipt)
})

test('the hashes of an encrypted task are of the texts as they were submitted; sealed texts and long ones are hashed as they came', async () => {
  const service = await start({ data_key_file: keyFile('07') })
  const node = await connectNode(service, 'n')
  const sent = { user_input: encrypt('a secret', publicKey), context: encrypt('', publicKey) }
  const a = await beginTask(service, node, 'E', { ...sent, is_encrypted: true, signer_public_key: publicKey })
  expect(a.user_input).toBe('a secret')
  node.complete(a)
  const long = 'Ü'.repeat(300_000)
  await nextSettled(node, 'E')
  expect((await receiptOf(service, 'E')).receipt).toMatchObject({
    encrypted: true,
    input_hash: sha256(sent.user_input),
    context_hash: sha256(sent.context),
    output_hash: sha256('Paris'),
  })
  node.complete(await beginTask(service, node, 'L', { user_input: long }), `${long}!`)
  await nextSettled(node, 'L')
  const { receipt } = await receiptOf(service, 'L')
  expect([receipt.input_hash, receipt.output_hash]).toEqual([sha256(long), sha256(`${long}!`)])
  // Without a data key they are read as bytes.
  const plain = await start()
  await completed(plain, 'n', 'P', `${long}?`)
  expect((await receiptOf(plain, 'P')).receipt.output_hash).toBe(sha256(`${long}?`))
})

test('there is no receipt of what has no result, of a task of another, or where nobody can sign', async () => {
  const service = await start()
  await service.submit({ task_id: 'waits' })
  expect((await service.get('/api/v1/tasks/waits/receipt')).body).toMatchObject({
    code: 'conflict',
    error:
      'task_id: waits is pending and has no result; a receipt is made of a result, so ask again once it is completed',
  })
  await service.send('POST', '/api/v1/tasks/waits/cancel')
  expect((await service.get('/api/v1/tasks/waits/receipt')).body?.error).toContain('waits is failed and has no result')
  expect((await service.get('/api/v1/tasks/none/receipt')).body).toMatchObject({ code: 'task_not_found' })

  const unsigned = await startService()
  await completed(unsigned, 'n', 'A')
  const answer = await unsigned.get('/api/v1/tasks/A/receipt')
  expect([answer.status, answer.body?.error]).toEqual([
    404,
    'this service has no key to sign receipts with (signer.stacks_private_key); ask its operator',
  ])
})

test('a receipt is for who submitted the task, and for operators', async () => {
  const made: Record<string, string> = {}
  const service = await startGuarded(
    {
      auth: {
        mode: 'auto',
        anonymous_submit: false,
        public_stats: true,
        enrolment: 'open',
        probation_max_fee: 1_000_000,
        legacy_unsigned: [],
      },
    },
    (token) => {
      made['mine'] = token('user')
      made['theirs'] = token('user', { owners: [OTHER] })
      made['operator'] = token('operator')
      made['viewer'] = token('viewer')
    },
    { signer },
  )
  const of = (name: string) => as(service, made[name] ?? '')
  const node = await connectNode(service, 'n')
  expect((await of('mine').post('/api/v1/tasks', task({ task_id: 'A' }))).status).toBe(200)
  node.complete(await nextAssign(node, 'A'))
  await nextSettled(node, 'A')
  const path = '/api/v1/tasks/A/receipt'
  const statuses = await Promise.all(
    ['mine', 'theirs', 'operator', 'viewer'].map(async (name) => [name, (await of(name).get(path)).status]),
  )
  expect(Object.fromEntries(statuses)).toEqual({ mine: 200, theirs: 404, operator: 200, viewer: 403 })
  const taken = await of('theirs').get(path)
  const none = await of('theirs').get('/api/v1/tasks/B/receipt')
  expect(taken.body).toEqual({ ...none.body, error: none.body?.error?.replace('task B', 'task A') })
})
