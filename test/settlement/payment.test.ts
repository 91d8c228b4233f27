import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { readPayment } from '../../src/chain/payment.js'
import { connectNode } from '../support/node-session.js'
import { paidTask, startPaidService, USER } from '../support/paid-service.js'
import { until } from '../support/wait.js'
import { connectClient } from '../support/client-session.js'

const hash = (text: string): string => createHash('sha256').update(text).digest('hex')

describe('a paid task', () => {
  test('is worked on, posted with its payee, submitted, mined and confirmed, and shown so everywhere', async () => {
    const { chain, service, submit, settles, settlement, node } = await startPaidService()
    await node()
    const task = paidTask(0)
    expect((await submit(task)).status).toBe(200)
    await settles(0, 'posted')
    await service.reaches('task-0', 'submitted')
    const { txid } = readPayment(task.signed_tx)
    const held = chain.held(txid)
    expect(held?.tx.outputHash).toBe(hash(task.user_input))
    chain.mine()
    await settles(0, 'mined')
    chain.mine()
    chain.mine()
    await settles(0, 'confirmed')

    const status = (await service.status('task-0')) as Record<string, unknown>
    expect(status).toMatchObject({ status: 'submitted', txid, settlement: { state: 'confirmed', final: true } })
    const detail = (await service.get('/api/v1/tasks/task-0')).body?.data as Record<string, unknown>
    expect(detail).toMatchObject({ settlement: { state: 'confirmed' } })
    const stats = (await service.get('/api/v1/stats')).body?.data as Record<string, unknown>
    expect(stats).toMatchObject({ submitted_tasks: 1, settlements: { confirmed: 1, ready: 0 } })
    const payee = (await settlement(0))?.payee as string
    const nodes = (await service.get('/api/v1/nodes')).body?.data as { payee: string }[]
    expect(nodes[0]?.payee).toBe(payee)
    expect(chain.account(payee).balance).toBe(2250n) // 90 % of the amount
    // What a miner asks for.
    for (const name of [txid, `0x${txid}`, txid.toUpperCase()]) {
      const asked = (await service.get(`/api/v1/tasks/${name}/status`)).body?.data
      expect(asked).toEqual({
        txid,
        status: 'submitted',
        created_at: status.created_at,
        result: { output_hash: hash(task.user_input), inference_node_id: payee },
      })
    }
    expect((await service.get(`/api/v1/tasks/${'0'.repeat(64)}/status`)).status).toBe(404)
    expect(chain.posts()).toHaveLength(1)
  })

  test('over a session too; a node in session is given no transaction', async () => {
    const { service, settles } = await startPaidService()
    const node = await connectNode(service, 'node-001', { supported_models: ['llama-3-8b'] })
    const client = await connectClient(service)
    const { task_id: _, ...task } = paidTask(0)
    client.say({ type: 'task.submit', ref: 'a', ...task, task_id: 'task-0' })
    await client.next('task.submitted')
    const assigned = await node.next('task.assign')
    expect(assigned.signed_tx).toBeNull()
    node.accept(assigned)
    node.complete(assigned)
    expect(await client.next('task.result')).toMatchObject({ status: 'completed' })
    await settles(0, 'posted')
    client.say({ type: 'task.submit', ref: 'b', ...task, infer_fee: 1 })
    expect(await client.next('error')).toMatchObject({ ref: 'b', code: 'invalid_message', message: expect.stringContaining('infer_fee') }) // prettier-ignore
  })

  test('fee and nonce that are left out are those of the transaction', async () => {
    const { service, submit } = await startPaidService()
    const { fee: _fee, nonce: _nonce, ...task } = paidTask(5)
    expect((await submit(task)).status).toBe(200)
    expect(await service.status('task-5')).toMatchObject({ fee: 400, nonce: 5 })
    expect((await submit({ ...task, task_id: 'again', nonce: 0 })).body?.error).toContain('nonce: the task says 0')
    // The same again, with or without them, is the same task.
    expect((await submit(task)).status).toBe(200)
    expect((await submit(paidTask(5))).status).toBe(200)
  })
})

describe('a submission is refused that is not what its transaction pays for', () => {
  const other = 'ST361P1W3HRW7VTPD1S935RF8PJFMRAF4GJMPMQZN'
  const flip = (hex: string, at: number): string => {
    const bytes = Buffer.from(hex, 'hex')
    bytes[at] = (bytes[at] ?? 0) ^ 1
    return bytes.toString('hex')
  }
  test.each<[string, object, number, string]>([
    ['no transaction', { signed_tx: null }, 400, 'signed_tx: is missing'],
    ['no hex', { signed_tx: 'xyz' }, 400, 'signed_tx: '],
    ['something after it', { signed_tx: `${paidTask(0).signed_tx}00` }, 400, 'byte follow'],
    ['another owner', { user_address: other }, 401, `user_address: the task says "${other}"`],
    ['another amount', { infer_fee: 2499 }, 400, 'infer_fee: the task says 2499, the signed transaction 2500'],
    ['another fee', { fee: 399 }, 400, 'fee: the task says 399, the signed transaction 400'],
    ['another nonce', { nonce: 1 }, 400, 'nonce: the task says 1, the signed transaction 0'],
    ['another model', { model_name: 'llama-3-70b' }, 400, 'model_name: the task says "llama-3-70b"'],
    ['another prompt', { user_input: 'What is a sublease?' }, 400, 'user_input: the task says'],
    ['another context', { context: 'x' }, 400, 'context: the task says "x"'],
    ['a fee that no miner takes', paidTask(0, { fee: 100 }), 400, 'fee: must be at least'],
    ['another network', paidTask(0, { network: 'mainnet' }), 401, 'version'],
    ['another signature', { signed_tx: flip(paidTask(0).signed_tx, 60) }, 400, 'signature'],
    ['an id like that of a transaction', { task_id: 'ab'.repeat(32) }, 400, 'task_id: must not look like'],
  ])('%s', async (_what, more, status, sentence) => {
    const { service, submit } = await startPaidService({ observed: false })
    const answer = await submit({ ...paidTask(0), ...more })
    expect(answer.body?.error).toContain(sentence)
    expect(answer.status).toBe(status)
    expect(await service.get('/api/v1/stats')).toMatchObject({ body: { data: { total_tasks: 0 } } })
  })

  test('a payment that another task has, that is used, or that its account cannot pay', async () => {
    const { chain, submit } = await startPaidService({ fake: { balances: { [USER]: 6000 } }, observed: false })
    expect((await submit(paidTask(0))).status).toBe(200)
    expect(await submit({ ...paidTask(0), task_id: 'other' })).toMatchObject({
      status: 409,
      body: { error: expect.stringContaining('task-0') as string },
    })
    expect((await submit(paidTask(1))).status).toBe(200)
    expect(await submit(paidTask(2))).toMatchObject({
      status: 400,
      body: { error: expect.stringContaining('has 6000') as string },
    })
    expect(chain.posts()).toEqual([])
  })

  test('but not because the chain cannot be asked: that is a warning', async () => {
    const { chain, service, submit } = await startPaidService({ observed: false })
    await chain.down(true)
    expect((await submit(paidTask(0))).status).toBe(200)
    const health = await until(async () => {
      const { body } = await service.get('/health')
      return (body?.data as { warning?: string | null } | null)?.warning ?? null
    }, 'a warning')
    expect(health).toContain('the chain cannot be reached')
  })
})
