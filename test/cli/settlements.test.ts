import { expect, test } from 'vitest'
import { refusedCommand, command, inProcess, refusedInProcess } from '../support/command.js'
import { paidTask, startPaidService, txidOf, USER } from '../support/paid-service.js'
import { startService } from '../support/service.js'

const WHEN = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`

/** Three payments: one confirmed, one mined, one posted. Blocks are mined here only. */
async function threePayments() {
  const paid = await startPaidService()
  await paid.node()
  const steps = [
    { nonce: 0, blocks: 2, state: 'mined' },
    { nonce: 1, blocks: 1, state: 'mined' },
    { nonce: 2, blocks: 0, state: 'posted' },
  ]
  for (const { nonce, blocks, state } of steps) {
    expect((await paid.submit(paidTask(nonce))).status).toBe(200)
    await paid.settles(nonce, 'posted')
    for (let i = 0; i < blocks; i++) paid.chain.mine()
    await paid.settles(nonce, state)
  }
  await paid.settles(0, 'confirmed')
  return { ...paid, at: ['--url', paid.service.url] }
}

/** A payment that a miner has refused for good, with these words. */
async function refusedPayment(message: string) {
  const paid = await startPaidService()
  await paid.node()
  paid.chain.refuse({ reason: 'BadTransactionVersion', data: { message } })
  await paid.submit(paidTask(0))
  await paid.settles(0, 'rejected')
  return { ...paid, at: ['--url', paid.service.url] }
}

test('settlements list prints a table, the last task_id first, filters by state, and says how to go on', async () => {
  const { at } = await threePayments()
  const all = await inProcess(['settlements', 'list', ...at])
  expect(all.out[0]).toMatch(/^task +state +txid +payee +origin +nonce +height +updated +error$/)
  expect(all.out.slice(2).map((line) => line.split(/ {2,}/).slice(0, 3))).toEqual([
    ['task-2', 'posted', txidOf(paidTask(2))],
    ['task-1', 'mined', txidOf(paidTask(1))],
    ['task-0', 'confirmed', txidOf(paidTask(0))],
  ])
  expect(all.out[4]).toMatch(new RegExp(`  ST[0-9A-Z]+  ${USER} +0 +2  ${WHEN}  -$`))

  const mined = await inProcess(['settlements', 'list', '--state', 'mined', ...at])
  expect(mined.out.slice(2).map((line) => line.split(/ {2,}/)[0])).toEqual(['task-1'])
  const none = await inProcess(['settlements', 'list', '--state', 'hijacked', ...at])
  expect(none.out.slice(2)).toEqual([])

  const first = await inProcess(['settlements', 'list', '--limit', '2', ...at])
  expect(first.out.slice(2, 4).map((line) => line.split(/ {2,}/)[0])).toEqual(['task-2', 'task-1'])
  const [, cursor = ''] = /^There are older ones: the same with --cursor (\S+)$/.exec(first.out.at(-1) ?? '') ?? []
  const rest = await inProcess(['settlements', 'list', '--limit', '2', '--cursor', cursor, ...at])
  expect(rest.out.slice(2).map((line) => line.split(/ {2,}/)[0])).toEqual(['task-0'])
})

test('settlements show says what has become of a payment, and --json what the service answers', async () => {
  const { at, service, chain } = await threePayments()
  const shown = (await inProcess(['settlements', 'show', 'task-0', ...at])).out
  const served = (await service.get('/api/v1/settlements/task-0')).body?.data
  const [mined] = chain.find(txidOf(paidTask(0)))
  const lines = [
    /^task +task-0$/,
    /^state +confirmed, for good$/,
    new RegExp(`^txid +${txidOf(paidTask(0))}$`),
    new RegExp(`^origin +${USER}, nonce 0$`),
    new RegExp(`^payee +${mined?.payee}$`),
    new RegExp(`^output hash +${mined?.payment.tx.outputHash}$`),
    new RegExp(`^block +${mined?.height} \\(${mined?.indexHash}\\)$`),
    new RegExp(`^posted +${WHEN}$`),
    new RegExp(`^completed +${WHEN}$`),
    new RegExp(`^updated +${WHEN}$`),
  ]
  expect(shown).toHaveLength(lines.length)
  lines.forEach((line, i) => expect(shown[i]).toMatch(line))

  expect((await inProcess(['settlements', 'show', 'task-0', '--json', ...at])).json()).toEqual(served)
  const list = (await inProcess(['settlements', 'list', '--json', '--limit', '1', ...at])).json()
  expect(list).toMatchObject({ settlements: [{ task_id: 'task-2', state: 'posted' }] })
  expect(list.next_cursor).not.toBeNull()
})

test('settlements retry posts a payment again that a miner had refused, and refuses what is settled', async () => {
  const { at, chain, service, settles } = await refusedPayment('not this one')
  const shown = (await inProcess(['settlements', 'show', 'task-0', ...at])).out.join('\n')
  expect(shown).toMatch(/^state +rejected, for good$/m)
  expect(shown).toMatch(/^error +.*refuses the transaction: BadTransactionVersion \(not this one\)$/m)

  chain.refuse(null)
  expect((await inProcess(['settlements', 'retry', 'task-0', ...at])).out).toEqual(['task-0: ready, tried again now'])
  await settles(0, 'posted')
  // One that is posted is looked at again: that is harmless.
  expect((await inProcess(['settlements', 'retry', 'task-0', '--json', ...at])).json()).toMatchObject({
    task_id: 'task-0',
    state: 'posted',
    final: false,
  })
  expect((await service.get('/api/v1/audit?action=settlement.retried')).body?.data.entries).toHaveLength(2)

  chain.mine()
  await settles(0, 'mined')
  await refusedInProcess(['settlements', 'retry', 'task-0', ...at], 1, [
    'task_id: the settlement of task-0 is mined; there is nothing to try again',
  ])
  expect(chain.find(txidOf(paidTask(0)))).toHaveLength(1)
})

test('the words of a miner are shown, and do nothing to the terminal', async () => {
  const { at } = await refusedPayment('red \u001b[31m\u202e')
  for (const sub of ['list', 'show task-0']) {
    const { out } = await inProcess(['settlements', ...sub.split(' '), ...at])
    expect(out.join('\n')).toContain('\\x1b[31m\\u{202e}')
    expect(out.join('\n')).not.toMatch(/[\u001b\u202e]/)
  }
})

test('what is not there, and what is used wrongly, is one sentence', async () => {
  const { service } = await startPaidService()
  const at = ['--url', service.url]
  await refusedInProcess(['settlements', 'show', 'nothing', ...at], 1, ['there is no settlement of a task nothing'])
  await refusedInProcess(['settlements', 'retry', 'nothing', ...at], 1, ['there is no settlement of a task nothing'])
  await refusedInProcess(['settlements', 'list', '--state', 'paid', ...at], 2, [
    '--state: must be one of ready, posted',
  ])
  await refusedInProcess(['settlements', 'list', '--limit', '0', ...at], 2, ['--limit: must be'])
  await refusedInProcess(['settlements', 'list', 'task-0', ...at], 2, ['unexpected "task-0"'])
  await refusedInProcess(['settlements', 'show', 'task-0', 'task-1', ...at], 2, ['unexpected "task-1"'])
  await refusedInProcess(['settlements', 'show', ...at], 2, ['ID'])
})

test('a service that does not look at the chain says so', async () => {
  const { url } = await startService()
  for (const words of [['list'], ['show', 'a'], ['retry', 'a']])
    await refusedInProcess(['settlements', ...words, '--url', url], 1, ['its configuration has no section [chain]'])
})

test('the built command line has it: with an exit code of its own for wrong use and for a refusal', async () => {
  const { service } = await startPaidService()
  const at = ['--url', service.url]
  expect((await command(['settlements', 'list', '--json', ...at])).json()).toEqual({
    settlements: [],
    next_cursor: null,
  })
  await refusedCommand(['settlements', 'show', 'nothing', ...at], 1, 'there is no settlement of a task nothing')
  await refusedCommand(['settlements', 'list', '--stat', 'mined', ...at], 2, 'unknown flag --stat')
  await refusedCommand(['settlements', ...at], 2, 'settlements list, settlements show, settlements retry')
})
