import { describe, expect, test } from 'vitest'
import { inspect } from '../support/service.js'
import { startPaidService, USER } from '../support/paid-service.js'
import { until } from '../support/wait.js'

const SUBMISSION = {
  task_id: 'event-1',
  infer_user_address: USER,
  user_input: 'What is a lease?',
  context: '',
  fee: 0,
  nonce: 0,
  infer_fee: 2500,
  max_infer_time: 60,
  model_type: { Llama: 'llama-3-8b' },
}

type Paid = Awaited<ReturnType<typeof startPaidService>>
const tell = async ({ service }: Paid, path: string, body: object): Promise<number> =>
  (await fetch(`${service.observer}${path}`, { method: 'POST', body: JSON.stringify(body) })).status
const tasksOf = async ({ service }: Paid): Promise<number> =>
  ((await service.get('/api/v1/stats')).body?.data as { total_tasks: number }).total_tasks
/** What was told before has been dealt with: events are taken in order, and this one can be seen. */
async function isDealtWith(paid: Paid, marker: string) {
  await tell(paid, '/submit_infer_task', { ...SUBMISSION, task_id: marker })
  await until(async () => (await paid.service.get(`/api/v1/tasks/${marker}/status`)).status === 200, marker)
}

describe('a task that comes as an event', () => {
  const open = { require_signed_tx: false, submissions_from: ['127.0.0.0/8'] }

  test('is taken from submissions_from, once, and done as any other', async () => {
    const paid = await startPaidService({ chain: open })
    await paid.node()
    expect(await tell(paid, '/submit_infer_task', SUBMISSION)).toBe(200)
    await until(async () => (await paid.service.get('/api/v1/tasks/event-1/status')).status === 200, 'the task')
    // The same again, and in other words (which is no repeat of the bytes), is the same task.
    await tell(paid, '/submit_infer_task', SUBMISSION)
    await tell(paid, '/submit_infer_task', { ...SUBMISSION, more: 1 })
    await isDealtWith(paid, 'event-2')
    expect(await tasksOf(paid)).toBe(2)
    await paid.service.reaches('event-1', 'completed') // nothing pays for it
  })

  test('is refused from everybody else, and where a transaction is required, and is answered 200 nevertheless', async () => {
    const [elsewhere, unpaid] = [
      await startPaidService({ chain: { ...open, submissions_from: ['192.0.2.0/24'] } }),
      await startPaidService({ chain: { ...open, require_signed_tx: true } }),
    ]
    for (const paid of [elsewhere, unpaid]) {
      await paid.node()
      expect(await tell(paid, '/submit_infer_task', SUBMISSION)).toBe(200)
      // Events are dealt with in their order: a block behind it is stored when it has been refused.
      const { indexHash } = paid.chain.mine()
      await until(() => inspect(paid.service.file, (db) => db.prepare('SELECT 1 FROM chain_blocks WHERE index_block_hash = ?').get(indexHash)), 'the block being stored') // prettier-ignore
      const { body } = await paid.service.get('/api/v1/tasks/event-1/status')
      expect(body?.success).toBe(false)
      expect(await tasksOf(paid)).toBe(0)
    }
  })
})
