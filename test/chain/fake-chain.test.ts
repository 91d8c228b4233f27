import { createHash } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { bootAddress, principalOf } from '../../src/chain/address.js'
import type { ChainEvent } from '../../src/chain/observer/events.js'
import { createObserver } from '../../src/chain/observer/observer.js'
import { readPayment } from '../../src/chain/payment.js'
import { createChainRpc } from '../../src/chain/rpc/chain-rpc.js'
import { signInferTransaction, type Payment } from '../../src/chain/signing.js'
import { fillIn } from '../../src/chain/transaction.js'
import { createFakeChain, type FakeChainOptions } from '../../src/demo/chain/fake-chain.js'
import { silentLog } from '../../src/lib/log.js'
import { startHttp } from '../support/http-server.js'
import { until } from '../support/wait.js'
import { NODE, SIGNER, USER } from './vectors.js'

const OUTPUT = 'A time-limited right.'

/** A payment of the user for the node's output, filled in. */
function payment({
  output = OUTPUT,
  payee = NODE.testnet,
  ...signed
}: Partial<Payment> & { output?: string; payee?: string } = {}) {
  const bytes = signInferTransaction({
    network: 'testnet',
    privateKey: USER.privateKey,
    nonce: 0,
    fee: 300,
    amount: 2505,
    userInput: 'What is a lease?',
    context: '',
    modelName: 'llama-3-8b',
    ...signed,
  })
  const to = principalOf(payee)
  if (to === null) throw new Error('no address')
  const tx = fillIn(bytes, { payee: to, outputHash: createHash('sha256').update(output).digest('hex') })
  return { bytes, tx, txid: readPayment(tx.toString('hex')).txid }
}

/** A fake chain on which the user has 10 STX, a client of it, and an observer. */
async function chainWith(options: FakeChainOptions = {}) {
  const events: ChainEvent[] = []
  const observer = createObserver({
    host: '127.0.0.1',
    port: 0,
    log: silentLog(),
    onEvent: (event) => void events.push(event),
  })
  const { port } = await observer.listen()
  const chain = await createFakeChain({
    balances: { [USER.testnet]: 10_000_000 },
    observers: [`http://127.0.0.1:${port}`],
    repeatEvery: 20,
    ...options,
  })
  const rpc = createChainRpc({ endpoint: chain.url, timeout: 20_000 })
  onTestFinished(async () => {
    await Promise.all([rpc.close(), chain.close(), observer.close()])
  })
  return { chain, rpc, events }
}
const nonceOf = async ({ rpc }: Pick<Awaited<ReturnType<typeof chainWith>>, 'rpc'>) => {
  const account = await rpc.account(USER.testnet)
  return account.is === 'account' ? account.nonce : account
}

describe('a transaction', () => {
  test('is held, mined and paid, and told as a block whose parents lead to the tip', async () => {
    const { chain, rpc, events } = await chainWith()
    const { tx, txid } = payment()
    expect(await rpc.post(tx, OUTPUT)).toEqual({ is: 'taken', txid })
    expect(await rpc.unconfirmed(txid)).toEqual({ is: 'held', tx })
    expect(await rpc.inferResult(txid)).toMatchObject({ status: 'Success', nodeId: NODE.testnet })
    const block = chain.mine()
    const info = await rpc.info()
    expect(info).toMatchObject({ is: 'info', tipHeight: 2, indexBlockHash: block.indexHash, networkId: 0x80000000 })
    await until(() => events.length === 2)
    expect(events).toEqual([
      { is: 'burn_block', height: block.burnHeight },
      {
        is: 'block',
        blockHash: block.hash,
        height: 2,
        indexBlockHash: block.indexHash,
        parentIndexBlockHash: block.parent?.indexHash,
        burnHeight: block.burnHeight,
        transactions: [
          {
            txid,
            spends: expect.objectContaining({ nonce: 0n }) as object,
            inference: {
            status: 'success',
            rawResult: Buffer.from(`070200000020${createHash('sha256').update(OUTPUT).digest('hex')}`, 'hex'),
            rawTx: tx,
            },
          },
        ],
      },
    ])
    expect(await rpc.account(USER.testnet)).toMatchObject({ balance: 10_000_000n - 2505n - 300n, nonce: 1n })
    expect(await rpc.account(NODE.testnet)).toMatchObject({ balance: 2254n, nonce: 0n })
    expect(chain.account(chain.miner).balance).toBe(251n + 300n)
    // A node holds what is mined, and a second post of it changes nothing.
    expect(await rpc.unconfirmed(txid)).toEqual({ is: 'held', tx })
    expect(await rpc.post(tx, OUTPUT)).toEqual({ is: 'taken', txid })
    chain.mine()
    expect(chain.find(txid)).toHaveLength(1)
  })

  test('is swallowed with a 200 where its txid is held already, whoever it pays', async () => {
    const { chain, rpc } = await chainWith()
    const [first, second] = [payment(), payment({ payee: SIGNER.testnet })]
    expect(second.txid).toBe(first.txid)
    await rpc.post(first.tx, OUTPUT)
    expect(await rpc.post(second.tx, OUTPUT)).toEqual({ is: 'taken', txid: first.txid })
    expect(await rpc.unconfirmed(first.txid)).toEqual({ is: 'held', tx: first.tx })
    expect(chain.posts().map(({ payee, was }) => [payee, was])).toEqual([
      [NODE.testnet, 'taken'],
      [SIGNER.testnet, 'swallowed'],
    ])
  })

  test('without an output hash is aborted: the fee is paid, the nonce used, the node has nothing', async () => {
    const { chain, rpc, events } = await chainWith()
    const { bytes } = payment()
    const { txid } = readPayment(bytes.toString('hex'))
    await rpc.post(bytes, OUTPUT)
    chain.mine()
    await until(() => events.length === 2)
    expect(events[1]).toMatchObject({
      transactions: [{ txid, inference: { status: 'abort_by_response', rawResult: Buffer.from('0809', 'hex') } }],
    })
    expect(chain.account(USER.testnet)).toEqual({ balance: 9_999_700n, nonce: 1n })
  })

  test('waits for those before it, in the order of nonces, and for its funds', async () => {
    const { chain, rpc } = await chainWith()
    const [third, first, second] = [payment({ nonce: 2, amount: 9_995_000 }), payment(), payment({ nonce: 1 })]
    await rpc.post(third.tx, OUTPUT)
    expect(chain.mine().mined).toEqual([])
    await rpc.post(first.tx, OUTPUT)
    await rpc.post(second.tx, OUTPUT)
    expect(chain.mine().mined.map(({ payment: { txid } }) => txid)).toEqual([first.txid, second.txid])
    expect(chain.waiting()).toBe(1)
  })

  test('is refused as a node does', async () => {
    const { chain, rpc } = await chainWith()
    const refused = async ({ tx }: { tx: Buffer }) => {
      const answer = await rpc.post(tx, OUTPUT)
      return answer.is === 'refused' ? { reason: answer.reason, ...answer.data } : answer
    }
    const one = payment({ fee: 300 })
    const forged = Buffer.from(one.tx)
    forged[140] = (forged[140] ?? 0) ^ 1
    expect(await refused({ tx: forged })).toMatchObject({ reason: 'SignatureValidation' })
    expect(await refused({ tx: one.tx.subarray(1) })).toMatchObject({ reason: 'Deserialization' })
    expect(await refused(payment({ network: 'mainnet' }))).toMatchObject({ reason: 'SignatureValidation' })
    expect(await refused(payment({ fee: 100 }))).toMatchObject({
      reason: 'FeeTooLow',
      expected: BigInt(one.tx.length),
      actual: 100n,
    })
    expect(await refused(payment({ nonce: 27 }))).toMatchObject({
      reason: 'TooMuchChaining',
      expected: 0n,
      actual: 27n,
    })
    expect(await refused(payment({ privateKey: SIGNER.privateKey }))).toMatchObject({
      reason: 'NotEnoughFunds',
      expected: 300n,
      actual: 0n,
    })
    expect(await refused(one)).toEqual({ is: 'taken', txid: one.txid })
    expect(await refused(payment({ fee: 299 }))).toMatchObject({ reason: 'ConflictingNonceInMempool' })
    chain.mine()
    expect(await refused(payment({ fee: 299 }))).toMatchObject({
      reason: 'BadNonce',
      expected: 1n,
      actual: 0n,
      principal: USER.testnet,
      isOrigin: true,
    })
  })

  test('is replaced by another of its nonce with a higher fee', async () => {
    const { chain, rpc, events } = await chainWith()
    const [old, better] = [payment(), payment({ fee: 301 })]
    await rpc.post(old.tx, OUTPUT)
    expect(await rpc.post(better.tx, OUTPUT)).toEqual({ is: 'taken', txid: better.txid })
    await until(() => events.length === 1)
    expect(events).toEqual([{ is: 'dropped', txids: [old.txid], reason: 'ReplaceByFee' }])
    expect(await rpc.unconfirmed(old.txid)).toEqual({ is: 'absent' })
    expect(chain.mine().mined.map(({ payment: { txid } }) => txid)).toEqual([better.txid])
  })
})

describe('a control', () => {
  test.each([true, false])('fork replaces blocks by a longer branch; their transactions are kept: %s', async (keep) => {
    const { chain, rpc, events } = await chainWith()
    const { tx, txid } = payment()
    chain.mine()
    await rpc.post(tx, OUTPUT)
    const old = chain.mine()
    chain.mine()
    expect(chain.find(txid)).toHaveLength(1)
    chain.fork({ depth: 2, keep })
    expect(chain.tip()).toMatchObject({ height: old.height + 2 })
    expect(await rpc.info()).toMatchObject({ indexBlockHash: chain.tip().indexHash })
    expect(chain.find(txid)).toEqual([])
    expect(await nonceOf({ rpc })).toBe(0n)
    expect(await rpc.unconfirmed(txid)).toEqual(keep ? { is: 'held', tx } : { is: 'absent' })
    if (!keep) expect(await rpc.post(tx, OUTPUT)).toEqual({ is: 'taken', txid })
    chain.mine()
    expect(chain.find(txid)).toHaveLength(1)
    // The branch is told from its first block on, and hangs together down to the block that both have.
    await until(() => chain.untold() === 0 && events.length === 14)
    const told = events.flatMap((event) => (event.is === 'block' ? [event] : []))
    const parents = new Map(told.map((block) => [block.indexBlockHash, block.parentIndexBlockHash]))
    const canonical: string[] = []
    for (
      let hash = parents.has(chain.tip().indexHash) ? chain.tip().indexHash : undefined;
      hash;
      hash = parents.get(hash)
    )
      canonical.push(hash)
    expect(canonical).toHaveLength(6)
    expect(canonical).not.toContain(old.indexHash)
  })

  test('hijack makes the node hold another payee, from now on or before it is posted', async () => {
    const { chain, rpc } = await chainWith()
    const [now, before] = [payment(), payment({ nonce: 1 })]
    await rpc.post(now.tx, OUTPUT)
    chain.hijack(now.txid, SIGNER.testnet)
    chain.hijack(before.txid, SIGNER.testnet)
    expect(await rpc.post(before.tx, OUTPUT)).toEqual({ is: 'taken', txid: before.txid })
    chain.mine()
    for (const { txid, tx } of [now, before]) {
      const held = await rpc.unconfirmed(txid)
      expect(held.is === 'held' && !held.tx.equals(tx)).toBe(true)
      expect(chain.find(txid)).toMatchObject([{ payee: SIGNER.testnet, status: 'success' }])
    }
  })

  test('refuse, swallow and dropSilently do what a real node may', async () => {
    const { chain, rpc, events } = await chainWith()
    const { tx, txid } = payment()
    chain.refuse({ reason: 'ServerFailureDatabase', data: { message: 'busy' } }, 1)
    expect(await rpc.post(tx, OUTPUT)).toMatchObject({ is: 'refused', class: 'later' })
    chain.refuse({ status: 503, text: 'not now' }, 1)
    expect(await rpc.post(tx, OUTPUT)).toMatchObject({ is: 'unreachable' })
    chain.swallow(true)
    expect(await rpc.post(tx, OUTPUT)).toEqual({ is: 'taken', txid })
    expect(await rpc.unconfirmed(txid)).toEqual({ is: 'absent' })
    chain.swallow(false)
    await rpc.post(tx, OUTPUT)
    expect(chain.dropSilently(txid)).toBe(true)
    expect(await rpc.unconfirmed(txid)).toEqual({ is: 'absent' })
    await rpc.post(tx, OUTPUT)
    chain.drop(txid)
    await until(() => events.length === 1)
    expect(events).toEqual([{ is: 'dropped', txids: [txid], reason: 'TooExpensive' }])
  })

  test('deaf, down and restart end calls, and afterwards it is where it was', async () => {
    const { chain, rpc } = await chainWith()
    const impatient = createChainRpc({ endpoint: chain.url, timeout: 100 })
    onTestFinished(() => impatient.close())
    const { tx, txid } = payment()
    await rpc.post(tx, OUTPUT)
    chain.deaf(true)
    expect(await impatient.info()).toMatchObject({ message: expect.stringContaining('has not answered') })
    chain.deaf(false)
    await chain.down(true)
    expect(await rpc.info()).toMatchObject({ message: expect.stringContaining('ECONNREFUSED') })
    await chain.down(false)
    chain.restart()
    expect(await rpc.unconfirmed(txid)).toEqual({ is: 'held', tx })
    chain.restart({ loseMempool: true })
    expect(await rpc.unconfirmed(txid)).toEqual({ is: 'absent' })
  })

  test('setStake is what the contract answers, byte by byte', async () => {
    const { chain, rpc } = await chainWith()
    const boot = bootAddress('testnet')
    expect(await rpc.stake(NODE.testnet, boot)).toEqual({ is: 'stake', result: '0x09' })
    chain.setStake(NODE.testnet, {
      amount: 20_000_000n,
      lockPeriod: 2100,
      lockStart: 1000,
      nodeId: 'node-001',
      unlockHeight: 3100,
    })
    expect(await rpc.stake(NODE.testnet, boot)).toEqual({
      is: 'stake',
      result:
        '0x0a0c000000050b616d6f756e742d757374780100000000000000000000000001312d000b6c6f636b2d706572696f6401000000000000000000000000000008340a6c6f636b2d737461727401000000000000000000000000000003e8076e6f64652d696402000000206e6f64652d3030310000000000000000000000000000000000000000000000000d756e6c6f636b2d6865696768740100000000000000000000000000000c1c',
    })
    expect(await rpc.stake(NODE.testnet, bootAddress('mainnet'))).toMatchObject({ is: 'unreachable' })
  })
})

test('events are told until they are taken, in order, and one after another', async () => {
  let isBroken = true
  const taken: string[] = []
  const { url } = await startHttp((request, response) => {
    request.resume().on('end', () => {
      if (!isBroken) taken.push(request.url ?? '')
      response.writeHead(isBroken ? 500 : 200).end()
    })
  })
  const { chain } = await chainWith({ observers: [url] })
  chain.mine()
  chain.mine()
  expect(chain.untold()).toBe(4)
  isBroken = false
  await until(() => chain.untold() === 0)
  expect(taken).toEqual(['/new_burn_block', '/new_block', '/new_burn_block', '/new_block'])
})

test('blocks come by themselves where that is wanted', async () => {
  const { chain } = await chainWith({ mineEvery: 5 })
  await until(() => chain.tip().height > 3)
})
