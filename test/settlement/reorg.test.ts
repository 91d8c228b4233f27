import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { paidTask, startPaidService, txidOf } from '../support/paid-service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

/** A service whose task 0 has been posted, beside a chain that can fork below it. */
async function posted(options: Parameters<typeof startPaidService>[0] = {}) {
  const paid = await startPaidService(options)
  await paid.node()
  paid.chain.mine()
  const task = paidTask(0)
  await paid.submit(task)
  await paid.settles(0, 'posted')
  return { ...paid, txid: txidOf(task) }
}

describe('a reorganisation of the chain', () => {
  test.each([
    [1, true],
    [2, true],
    [3, true],
    [1, false],
    [2, false],
    [3, false],
  ])('%i blocks deep takes it back, and it is confirmed in the end (the miner keeps it: %s)', async (depth, keep) => {
    const { chain, settles, service, settlement, txid } = await posted({ chain: { confirmations: 5 } })
    for (let i = 0; i < depth; i++) chain.mine()
    await settles(0, 'mined')
    chain.fork({ depth, keep })
    await until(async () => (await settlement(0))?.state !== 'mined', 'it being taken back')
    expect(await service.status('task-0')).toMatchObject({ status: 'submitted' })
    await until(() => chain.held(txid), 'a miner holding it again')
    expect(await settles(0, 'posted')).toMatchObject({ height: null, final: false })
    for (let i = 0; i < 5; i++) chain.mine()
    const end = await settles(0, 'confirmed')
    const found = chain.find(txid)
    expect(found).toHaveLength(1)
    expect(end).toMatchObject({ height: found[0]?.height, final: true })
    const posts = chain.posts().filter(({ was }) => was === 'taken')
    expect(posts).toHaveLength(keep ? 1 : 2)
    expect(posts.at(-1)).toEqual(posts[0])
  })
})

describe('where blocks are not told', () => {
  test('because there is no event observer, a payment ends as mined_unverified, which says so', async () => {
    const { chain, settles, settlement, service } = await posted({ observed: false })
    chain.mine()
    const found = await settles(0, 'mined_unverified')
    expect(found.last_error).toContain('without chain.event_observer nobody tells by which transaction')
    expect(found.final).toBe(false)
    chain.mine()
    chain.mine()
    await until(async () => (await settlement(0))?.final === true, 'a final settlement')
    expect((await settlement(0))?.state).toBe('mined_unverified')
    expect(await service.status('task-0')).toMatchObject({ status: 'submitted' })
  })

  test('because an event was lost while the service was down, it is compared with the node when it is up again', async () => {
    const inference = { database_path: join(tempDir(), 'inference.db') }
    const first = await posted({ inference })
    await first.service.stop()
    first.events.leadTo(null)
    first.chain.mine()
    await until(() => first.chain.untold() === 0, 'the block being told to nobody')
    const second = await startPaidService({ inference, beside: first.chain })
    const found = await second.settles(0, 'mined_unverified')
    expect(found.last_error).toContain('no block that was announced to us says by which transaction')
    first.chain.mine()
    first.chain.mine()
    await until(async () => (await second.settlement(0))?.final === true, 'a final settlement')
    expect(first.chain.posts()).toHaveLength(1)
  })

  test('because it was down, and the chain tells again: nothing is missing', async () => {
    const inference = { database_path: join(tempDir(), 'inference.db') }
    const first = await posted({ inference })
    await first.service.stop()
    first.chain.mine()
    const second = await startPaidService({ inference, beside: first.chain })
    first.events.leadTo(second.service.observer)
    await second.settles(0, 'mined')
    first.chain.mine()
    first.chain.mine()
    await second.settles(0, 'confirmed')
  })
})
