import { expect, test } from 'vitest'
import { delegationText, signDelegation } from '../../src/chain/delegations.js'
import { privateKeyObject } from '../../src/chain/private-key.js'
import type { Network } from '../../src/chain/address.js'
import { systemTime } from '../../src/lib/clock.js'
import { chainDefaults } from '../../src/config.js'
import { as, startGuarded } from '../support/access.js'
import { identity } from '../support/identity.js'
import { connectNode, hello, nextAssign, nextSettled, refusedHello } from '../support/node-session.js'
import { paidTask, startPaidService } from '../support/paid-service.js'
import { receiptOf, signer } from '../support/receipts.js'
import { addressOfWallet, signLow } from '../support/signatures.js'
import { inspect, startService, type Service } from '../support/service.js'

const OWNER_KEY = `${'55'.repeat(32)}01`
const OTHER_KEY = '66'.repeat(32) // of an uncompressed key, as old wallets have them
const keyOf = (nodeId: string): string => identity(nodeId).publicKey
const signed = (nodeId: string, owner = OWNER_KEY, network: Network = 'testnet') =>
  signDelegation(owner, keyOf(nodeId), network)
const send = (service: Pick<Service, 'post'>, body: object) => service.post('/api/v1/delegations', body)
const listed = async (service: Pick<Service, 'get'>) =>
  (await service.get('/api/v1/delegations')).body?.data.delegations
const payeeOf = async (service: Service, nodeId: string): Promise<unknown> =>
  (await service.get('/api/v1/nodes')).body?.data.find((n: { node_id: string }) => n.node_id === nodeId).payee
const auditOf = (service: Service) =>
  inspect(service.file, (db) =>
    db.prepare("SELECT action, subject, detail FROM audit WHERE action LIKE 'payee.%' ORDER BY seq").all(),
  )
/** A node that names this address, welcomed or not. */
const naming = (nodeId: string, node_address: string) => ({ nodeId, more: { node_address } })

/** A service that looks at a chain which does not answer. */
const start = (settings: Parameters<typeof startService>[0] = {}, chain = {}) =>
  startService(settings, systemTime, { signer, chain: chainDefaults({ poll_interval: 3600, ...chain }) })

test('a node is paid at another address once its owner has signed for that, and the node names it', async () => {
  const { service, chain, settles } = await startPaidService()
  const delegation = await signed('n')
  const { address } = delegation
  const { nodeId, more } = naming('n', address)
  const before = await refusedHello(service, (nonce) => hello(service, nodeId, nonce, more))
  expect(before.errors[0]).toMatchObject({
    message: expect.stringContaining(`have the owner of ${address} sign a delegation first`) as string,
  })
  await service.register('other', { public_key: keyOf('n') }) // so that the key is that of a node
  expect((await send(service, delegation)).body?.data).toMatchObject(delegation)

  const node = await connectNode(service, nodeId, more)
  expect(await payeeOf(service, 'n')).toBe(address)
  expect((await service.post('/api/v1/tasks', paidTask(0))).status).toBe(200)
  node.complete(await nextAssign(node, 'task-0'))
  await nextSettled(node, 'task-0')
  expect(await settles(0, 'posted')).toMatchObject({ payee: address })
  chain.mine()
  await settles(0, 'mined')
  expect((await receiptOf(service, 'task-0')).receipt).toMatchObject({ payee: address, node_key: keyOf('n') })
})

test("an owner's word alone turns nobody's pay to himself: a node that does not name his address is paid at its own", async () => {
  const service = await start()
  await connectNode(service, 'n')
  const own = addressOfWallet(identity('n'))
  expect((await send(service, await signed('n'))).status).toBe(200)
  expect(await payeeOf(service, 'n')).toBe(own)
})

test('a delegation that is in use is not replaced by the signature of somebody else; one that is not, is', async () => {
  const service = await start()
  await service.register('r', { public_key: keyOf('n') })
  const [theirs, mine] = [await signed('n', OTHER_KEY), await signed('n')]
  expect((await send(service, theirs)).status).toBe(200)
  expect((await send(service, mine)).status).toBe(200)
  await connectNode(service, 'n', { node_address: mine.address })
  const refusal = await send(service, theirs)
  expect([refusal.status, refusal.body?.code]).toEqual([409, 'conflict'])
  expect(refusal.body?.error).toContain(`node n is paid at ${mine.address}, as it says itself`)
  expect(await payeeOf(service, 'n')).toBe(mine.address)
  expect(await listed(service)).toMatchObject([mine])
})

test('the same delegation again changes nothing, each change is in the audit, and all of it survives a restart', async () => {
  const service = await start()
  const node = await connectNode(service, 'n')
  const [theirs, mine] = [await signed('n', OTHER_KEY), await signed('n')]
  await send(service, theirs)
  const first = await send(service, mine)
  const again = await send(service, {
    ...mine,
    signature: signLow(identityOf(OWNER_KEY), delegationText('testnet', keyOf('n'), mine.address)),
  })
  expect(again.body?.data).toEqual(first.body?.data)
  node.socket.close(1000)
  await node.closed
  await connectNode(service, 'n', { node_address: mine.address })
  await service.stop()

  const later = await start({ database_path: service.file })
  expect(await listed(later)).toMatchObject([mine])
  expect(await payeeOf(later, 'n')).toBe(mine.address)
  const key = keyOf('n').toUpperCase().replace('0X', '')
  expect((await later.send('DELETE', `/api/v1/delegations/${key}`)).body?.data).toBe('Delegation revoked')
  expect(await listed(later)).toEqual([])
  expect(await payeeOf(later, 'n')).toBe(addressOfWallet(identity('n')))
  expect((await later.send('DELETE', `/api/v1/delegations/${key}`)).body).toMatchObject({ code: 'not_found' })
  expect(
    auditOf(later).map((row) => ({
      ...(row as object),
      detail: JSON.parse((row as { detail: string }).detail) as unknown,
    })),
  ).toEqual([
    { action: 'payee.delegated', subject: keyOf('n'), detail: { address: theirs.address, was: null } },
    { action: 'payee.delegated', subject: keyOf('n'), detail: { address: mine.address, was: theirs.address } },
    { action: 'payee.revoked', subject: keyOf('n'), detail: { address: mine.address } },
  ])
})

/** The pair of a private key in hex. */
const identityOf = (privateKey: string) => ({ key: privateKeyObject(privateKey) })

test.each([
  [
    'of another node',
    async () => ({ ...(await signed('n')), node_key: keyOf('m') }),
    'signature: is not by public_key',
  ],
  ['of another network', () => signed('n', OWNER_KEY, 'mainnet'), 'public_key: its address on testnet is ST'],
  [
    'for the address of another key',
    async () => ({ ...(await signed('n')), address: addressOfWallet(identity('m')) }),
    'sign with the key of the address',
  ],
  [
    'signed for another network, at an address of this one',
    async () => {
      const { address, ...rest } = await signed('n')
      const key = identityOf(OWNER_KEY)
      return { ...rest, address, signature: signLow(key, delegationText('devnet', keyOf('n'), address)) }
    },
    'signature: is not by public_key',
  ],
  ['without a key of a node', async () => ({ ...(await signed('n')), node_key: 'node-001' }), 'node_key: must be'],
  ['without a key', async () => ({ ...(await signed('n')), public_key: '02' }), 'public_key: must be'],
  ['without a signature', async () => ({ ...(await signed('n')), signature: '00' }), 'signature: must be 64 bytes'],
])('a delegation %s is refused', async (_what, make, problem) => {
  const service = await start()
  await connectNode(service, 'n')
  const answer = await send(service, await make())
  expect([answer.status, answer.body?.code]).toEqual([400, 'invalid_request'])
  expect(answer.body?.error).toContain(problem)
  expect(await listed(service)).toEqual([])
})

test('the key must be that of a node, or of one that an operator has allowed', async () => {
  const service = await start()
  const stranger = await send(service, await signed('n'))
  expect([stranger.status, stranger.body?.error]).toEqual([
    409,
    `node_key: ${keyOf('n')} is the key of no node here; register the node first, or have the operator allow its key (stacks-signer nodes allow)`,
  ])
  await service.post('/api/v1/nodes/keys', { public_key: keyOf('n') })
  expect((await send(service, await signed('n'))).status).toBe(200)
})

test('as many are kept as twice the nodes there may be, and a page shows them in the order of their keys', async () => {
  const service = await start({ max_nodes: 2 })
  const names = ['a', 'b', 'c', 'd', 'e']
  for (const name of names) await service.post('/api/v1/nodes/keys', { public_key: keyOf(name) })
  const statuses = []
  for (const name of names) statuses.push((await send(service, await signed(name))).status)
  expect(statuses).toEqual([200, 200, 200, 200, 409])
  const keys = names.slice(0, 4).map(keyOf).sort()
  const page = await service.get('/api/v1/delegations?limit=3')
  expect(page.body?.data.delegations.map((d: { node_key: string }) => d.node_key)).toEqual(keys.slice(0, 3))
  expect(page.body?.data.next_cursor).toBe(keys[2])
  const rest = await service.get(`/api/v1/delegations?limit=3&cursor=${keys[2]}`)
  expect(rest.body?.data).toMatchObject({ delegations: [{ node_key: keys[3] }], next_cursor: null })
})

test('without [chain] there are none', async () => {
  const service = await startService({}, systemTime, { signer })
  const sentence = 'this service does not look at the chain: its configuration has no section [chain]'
  const answers = await Promise.all([
    send(service, await signed('n')),
    service.get('/api/v1/delegations'),
    service.send('DELETE', `/api/v1/delegations/${keyOf('n')}`),
  ])
  for (const { status, body } of answers) expect([status, body?.error]).toEqual([404, sentence])
})

test('whoever has the signature may send it; to see all of them, and to revoke one, is for operators', async () => {
  const tokens: Record<string, string> = {}
  const service = await startGuarded(
    {},
    (token) => {
      for (const role of ['user', 'viewer', 'operator']) tokens[role] = token(role)
    },
    { signer, chain: chainDefaults({ poll_interval: 3600 }) },
  )
  await service.asAdmin.post('/api/v1/nodes/keys', { public_key: keyOf('n') })
  expect((await as(service, null).post('/api/v1/delegations', await signed('n'))).status).toBe(200)
  for (const [role, status] of [
    ['user', 403],
    ['viewer', 403],
    ['operator', 200],
  ] as const) {
    const caller = as(service, tokens[role] ?? '')
    expect([role, (await caller.get('/api/v1/delegations')).status]).toEqual([role, status])
    expect([role, (await caller.send('DELETE', `/api/v1/delegations/${keyOf('n')}`)).status]).toEqual([role, status])
  }
})
