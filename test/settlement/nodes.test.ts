import { describe, expect, test } from 'vitest'
import { addressOf } from '../../src/chain/address.js'
import { encodeC32 } from '../../src/chain/c32.js'
import { parseInferTransaction } from '../../src/chain/transaction.js'
import { readKey } from '../../src/wire/keys.js'
import { identity } from '../support/identity.js'
import { connectNode } from '../support/node-session.js'
import { paidTask, startPaidService, THIEF } from '../support/paid-service.js'
import { until } from '../support/wait.js'

const MODELS = { supported_models: ['llama-3-8b'] }
const keyOf = (name: string): string => identity(name).publicKey
const payeeOf = (name: string): string => {
  const key = readKey(keyOf(name))
  if (key === null) throw new Error(`${name} has no key`)
  return addressOf(key, 'testnet')
}
const waitingOf = async ({ service }: Awaited<ReturnType<typeof startPaidService>>, nonce: number) =>
  (
    (await service.get(`/api/v1/tasks/task-${nonce}`)).body?.data as {
      waiting: { reason: string; explanation: string } | null
    }
  ).waiting

describe('a node that polls', () => {
  test('gets no transaction, as the service posts it', async () => {
    const { service, submit } = await startPaidService({ observed: false })
    await service.register('p', { ...MODELS, public_key: keyOf('p') })
    await submit(paidTask(0))
    expect(await service.poll('p')).toMatchObject({ task_id: 'task-0', signed_tx: null })
  })

  test('gets it with itself as payee, where give_signed_tx_to_polling_nodes says so', async () => {
    const { service, submit } = await startPaidService({ observed: false, chain: { give_signed_tx_to_polling_nodes: true } }) // prettier-ignore
    await service.register('p', { ...MODELS, public_key: keyOf('p') })
    await submit(paidTask(0))
    const { signed_tx } = (await service.poll('p')) as { signed_tx: string }
    const { node, outputHash } = parseInferTransaction(Buffer.from(signed_tx, 'hex'))
    expect([encodeC32(node), outputHash]).toEqual([payeeOf('p'), ''])
  })

  test('and has no key that could be paid gets no paid task, and the task says why it waits', async () => {
    const paid = await startPaidService({ observed: false })
    await paid.service.register('p', { ...MODELS, public_key: '03placeholder' })
    await paid.submit(paidTask(0))
    expect(await paid.service.poll('p')).toBeNull()
    expect(await waitingOf(paid, 0)).toMatchObject({
      reason: 'not_covered',
      explanation: expect.stringContaining('its public_key is none that could be paid') as string,
    })
  })

  test('may not have another address than that of its key', async () => {
    const { service } = await startPaidService({ observed: false })
    const register = (node_address: string) =>
      service.register('p', { ...MODELS, public_key: keyOf('p'), node_address })
    const refused = await register(THIEF)
    expect([refused.status, refused.body?.error]).toEqual([400, expect.stringContaining(`paid at ${payeeOf('p')}, not at ${THIEF}`)]) // prettier-ignore
    expect((await register(payeeOf('p'))).status).toBe(200)
  })
})

describe('where stakes are required', () => {
  const stake = (amount: bigint, unlockHeight = 100_000) => ({
    amount,
    lockPeriod: 12,
    lockStart: 1000,
    nodeId: 'n',
    unlockHeight,
  })
  const staked = () => startPaidService({ observed: false, chain: { stake_required: true, stake_ttl: 1 } })
  const stakeKnown = ({ service }: Awaited<ReturnType<typeof staked>>, amount: number) =>
    until(async () => {
      const nodes = (await service.get('/api/v1/nodes')).body?.data as { stake: number | null }[]
      return nodes[0]?.stake === amount
    }, `a stake of ${amount}`)

  test('a node without one gets nothing paid and stays in session; the task names it', async () => {
    const paid = await staked()
    const node = await connectNode(paid.service, 'n', { ...MODELS, max_concurrent_tasks: 4 })
    await paid.submit(paidTask(0))
    await stakeKnown(paid, 0)
    expect(await waitingOf(paid, 0)).toMatchObject({
      reason: 'not_covered',
      explanation: expect.stringContaining(`${payeeOf('n')} has no stake`) as string,
    })
    await node.beat()
    expect(node.inbox.filter((m) => m.type === 'task.assign')).toEqual([])
    // It has staked meanwhile: it gets it.
    paid.chain.setStake(payeeOf('n'), stake(7500n))
    expect(await node.next('task.assign')).toMatchObject({ task_id: 'task-0' })
  })

  test('one gets what its stake covers for all that it holds together, and less when that falls', async () => {
    const paid = await staked()
    paid.chain.setStake(payeeOf('n'), stake(15_000n))
    const node = await connectNode(paid.service, 'n', { ...MODELS, max_concurrent_tasks: 4 })
    for (const nonce of [0, 1, 2]) await paid.submit(paidTask(nonce))
    const [first, second] = [await node.next('task.assign'), await node.next('task.assign')]
    node.accept(first)
    node.accept(second)
    await node.beat()
    expect(await waitingOf(paid, 2)).toMatchObject({
      reason: 'not_covered',
      explanation: expect.stringContaining('is taken up by what it holds') as string,
    })
    // The stake falls: what ends makes no room.
    paid.chain.setStake(payeeOf('n'), stake(7500n))
    await stakeKnown(paid, 7500)
    node.complete(first)
    await node.next('task.settled')
    await node.beat()
    expect(node.inbox.filter((m) => m.type === 'task.assign')).toEqual([])
    node.complete(second)
    expect(await node.next('task.assign')).toMatchObject({ task_id: 'task-2' })
  })

  test('one that is unlocked soon covers nothing', async () => {
    const paid = await staked()
    paid.chain.setStake(payeeOf('n'), stake(75_000n, 1005))
    await connectNode(paid.service, 'n', MODELS)
    await paid.submit(paidTask(0))
    await stakeKnown(paid, 0)
    expect((await waitingOf(paid, 0))?.explanation).toContain('stays locked for long enough')
  })

  test('what was known is believed while the chain does not answer', async () => {
    const paid = await staked()
    paid.chain.setStake(payeeOf('n'), stake(75_000n))
    const node = await connectNode(paid.service, 'n', MODELS)
    await stakeKnown(paid, 75_000)
    await paid.chain.down(true)
    await until(async () => {
      const { body } = await paid.service.get('/health')
      return (body?.data as { warning?: string | null }).warning?.includes('cannot be reached')
    }, 'a warning')
    await paid.submit(paidTask(0))
    expect(await node.next('task.assign')).toMatchObject({ task_id: 'task-0' })
  })
})
