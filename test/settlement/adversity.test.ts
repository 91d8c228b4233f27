import { describe, expect, test } from 'vitest'
import { paidTask, postDirectly, startPaidService, THIEF, txidOf } from '../support/paid-service.js'
import { until } from '../support/wait.js'

type Paid = Awaited<ReturnType<typeof startPaidService>>

/** A service whose task 0 has been posted. */
async function posted(options: Parameters<typeof startPaidService>[0] = {}) {
  const paid = await startPaidService(options)
  await paid.node()
  const task = paidTask(0)
  await paid.submit(task)
  await paid.settles(0, 'posted')
  return { ...paid, task, txid: txidOf(task) }
}
/** Waits until the settlement is in this state for this reason. */
const settlesWith = (paid: Pick<Paid, 'settlement'>, nonce: number, state: string, reason: string) =>
  until(async () => {
    const found = await paid.settlement(nonce)
    return found?.state === state && String(found.last_error).includes(reason) ? found : null
  }, `the settlement of task-${nonce} being ${state} with ${reason}`)
/** Three blocks, the first of which makes it this, and the last of which makes that final. */
async function ends({ chain, settles, settlement }: Paid, state: string) {
  chain.mine()
  await settles(0, state === 'confirmed' ? 'mined' : state)
  chain.mine()
  chain.mine()
  return until(async () => {
    const found = await settlement(0)
    return found?.state === state && found.final === true ? found : null
  }, `it being ${state} for good`)
}
const healthWarning = async ({ service }: Paid) =>
  ((await service.get('/health')).body?.data as { warning?: string | null }).warning ?? ''

describe('somebody who has seen the signed transaction and posts it for himself', () => {
  test('before us: the service does not believe the 200 of the miner, and the task is not submitted', async () => {
    const paid = await startPaidService()
    const task = paidTask(0)
    paid.chain.hijack(txidOf(task), THIEF)
    await paid.node()
    await paid.submit(task)
    const found = await settlesWith(paid, 0, 'hijacked', THIEF)
    expect(found.final).toBe(false)
    expect(paid.chain.posts()).toMatchObject([{ was: 'swallowed' }])
    expect(await paid.service.status('task-0')).toMatchObject({ status: 'completed' })
  })

  test('after us: the service sees it', async () => {
    const paid = await posted()
    paid.chain.hijack(paid.txid, THIEF)
    await settlesWith(paid, 0, 'hijacked', `a miner holds it with payee ${THIEF}`)
  })

  test('and is mined: it is hijacked for good', async () => {
    const paid = await posted()
    paid.chain.hijack(paid.txid, THIEF)
    await until(async () => (await paid.settlement(0))?.state === 'hijacked', 'it being seen')
    expect((await ends(paid, 'hijacked')).last_error).toContain('mined with another payee')
    expect(paid.chain.account(THIEF).balance).toBe(2250n)
    expect((await paid.service.get('/api/v1/stats')).body?.data).toMatchObject({ settlements: { hijacked: 1, posted: 0 } }) // prettier-ignore
  })
})

describe('a block', () => {
  test('with another transaction of the same nonce makes it replaced, for good when it is deep', async () => {
    const paid = await posted()
    const rival = paidTask(0, { fee: 500, amount: 1 })
    expect((await postDirectly(paid.chain, rival, THIEF, 'x')).status).toBe(200)
    expect(paid.chain.held(paid.txid)).toBeUndefined()
    expect((await ends(paid, 'replaced')).last_error).toContain('another transaction')
    expect(paid.chain.find(paid.txid)).toEqual([])
  })

  test('in which the chain has not paid makes it aborted, for good when it is deep', async () => {
    const paid = await posted()
    paid.events.change((_path, body) => body.replace('"status":"success"', '"status":"abort_by_response"'))
    expect((await ends(paid, 'aborted')).last_error).toContain('has not paid')
  })
})

describe('a miner', () => {
  test('that refuses for good is not asked again, until an operator wants it', async () => {
    const paid = await startPaidService()
    paid.chain.refuse({ reason: 'FeeTooLow', data: { expected: 900, actual: 400 } })
    await paid.node()
    await paid.submit(paidTask(0))
    expect(await settlesWith(paid, 0, 'rejected', 'FeeTooLow (expected 900, got 400)')).toMatchObject({ final: true })
    expect(await paid.service.status('task-0')).toMatchObject({ status: 'completed' })
    // The next nonce goes nevertheless: it waits at the miner.
    paid.chain.refuse(null)
    await paid.submit(paidTask(1))
    await paid.settles(1, 'posted')
    expect(paid.chain.posts()).toHaveLength(2)
    expect((await paid.retry(0)).status).toBe(200)
    await paid.settles(0, 'posted')
    await paid.service.reaches('task-0', 'submitted')
    expect((await paid.retry(7)).status).toBe(404)
  })

  test('that refuses for now is asked again, whatever its reason', async () => {
    const paid = await startPaidService()
    await paid.node()
    const reasons = [
      'TooMuchChaining',
      'NotEnoughFunds',
      'EstimatorError',
      'ServerFailureNoSuchChainTip',
      'ServerFailureDatabase',
      'ServerFailureOther',
      'ServerFailureOfTomorrow',
      'TemporarilyBlacklisted',
      'BadNonce',
      'ConflictingNonceInMempool',
    ]
    for (const [nonce, reason] of reasons.entries()) {
      paid.chain.refuse({ reason })
      await paid.submit(paidTask(nonce))
      await settlesWith(paid, nonce, 'ready', reason)
      paid.chain.refuse(null)
      if (nonce > 0) await paid.retry(nonce) // the first is tried by the service itself
      await paid.settles(nonce, 'posted')
    }
  })

  test('that holds a rival with the same nonce and a higher fee: the task is not submitted, and replaced when that is mined', async () => {
    const paid = await startPaidService()
    await paid.submit(paidTask(0))
    expect((await postDirectly(paid.chain, paidTask(0, { fee: 500 }), THIEF, 'x')).status).toBe(200)
    await paid.node()
    await settlesWith(paid, 0, 'ready', 'ConflictingNonceInMempool')
    expect(await paid.service.status('task-0')).toMatchObject({ status: 'completed' })
    await ends(paid, 'replaced')
  })

  test('that says 200 and keeps nothing is not believed', async () => {
    const paid = await startPaidService()
    paid.chain.swallow(true)
    await paid.node()
    await paid.submit(paidTask(0))
    await settlesWith(paid, 0, 'ready', 'does not hold it')
    expect(await paid.service.status('task-0')).toMatchObject({ status: 'completed' })
    paid.chain.swallow(false)
    await paid.settles(0, 'posted')
    await paid.service.reaches('task-0', 'submitted')
  })

  test('that answers nothing is a warning, and gets it when it answers again', async () => {
    const paid = await startPaidService({ chain: { request_timeout: 0.3 } })
    paid.chain.deaf(true)
    await paid.node()
    expect((await paid.submit(paidTask(0))).status).toBe(200)
    await until(async () => (await healthWarning(paid)).includes('the chain cannot be reached'), 'a warning')
    await settlesWith(paid, 0, 'ready', paid.chain.url)
    // What is asked from now on is answered: with a time that a busy machine keeps.
    paid.chain.deaf(false)
    await paid.settles(0, 'posted')
    await until(async () => (await healthWarning(paid)) === '', 'no warning')
  })

  test('that was down gets all in the order of nonces, whatever the order of their results', async () => {
    const paid = await startPaidService()
    await paid.chain.down(true)
    await paid.node()
    for (const nonce of [3, 1, 0, 2]) {
      await paid.submit(paidTask(nonce))
      await paid.service.reaches(`task-${nonce}`, 'completed')
    }
    await until(async () => (await healthWarning(paid)).includes('the chain cannot be reached'), 'a warning')
    await paid.chain.down(false)
    for (const nonce of [0, 1, 2, 3]) await paid.settles(nonce, 'posted')
    const taken = paid.chain.posts().filter(({ was }) => was === 'taken')
    expect(taken.map(({ txid }) => txid)).toEqual([0, 1, 2, 3].map((nonce) => txidOf(paidTask(nonce))))
  })

  test('that has lost its mempool gets it again, the same bytes', async () => {
    const paid = await posted()
    paid.chain.restart({ loseMempool: true })
    await until(() => paid.chain.held(paid.txid), 'the transaction being held again')
    await paid.settles(0, 'posted')
    const posts = paid.chain.posts()
    expect(posts.length).toBeGreaterThan(1)
    expect(new Set(posts.map(({ payee, outputHash }) => `${payee} ${outputHash}`)).size).toBe(1)
    await ends(paid, 'confirmed')
    expect(paid.chain.find(paid.txid)).toHaveLength(1)
  })

  test('that says that it has dropped it gets it again at once', async () => {
    // Nobody looks by the clock.
    const paid = await posted({ chain: { poll_interval: 3600 } })
    paid.chain.drop(paid.txid)
    await until(() => paid.chain.held(paid.txid), 'the transaction being held again')
    expect(paid.chain.posts()).toHaveLength(2)
  })
})
