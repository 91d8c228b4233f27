import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { readPayment } from '../chain/payment.js'
import type { RestClient } from '../lib/rest-client.js'
import type { BlockClock } from './block-clock.js'
import type { FakeChain } from './chain/fake-chain.js'
import type { PlannedTask } from './plan.js'

const settlement = v.object({
  task_id: v.string(),
  state: v.string(),
  payee: v.nullable(v.string()),
  output_hash: v.string(),
  height: v.nullable(v.number()),
  index_block_hash: v.nullable(v.string()),
  last_error: v.nullable(v.string()),
})
type Settlement = v.InferOutput<typeof settlement>

/** How often something is looked at that is waited for, and how long at most, ms. */
const LOOK_MS = 25
const PATIENCE_MS = 20_000
/** How long what was taken back is to be seen before blocks go on, ms. */
const PAUSE_MS = 1000
/** How many blocks leave the chain. */
const DEPTH = 2

async function until<T>(what: string, signal: AbortSignal, look: () => Promise<T | null>): Promise<T> {
  for (const end = Date.now() + PATIENCE_MS; ; await sleep(LOOK_MS)) {
    if (signal.aborted) throw new Error('the demo has ended before')
    const found = await look()
    if (found !== null) return found
    if (Date.now() > end) throw new Error(`${what} did not come within ${PATIENCE_MS / 1000} s`)
  }
}

export interface Reorganisation {
  /** The task that was followed through it. */
  taskId: string
  /** How many payments were in the blocks that have left the chain. */
  taken: number
}

export interface ReorganisationParts {
  chain: FakeChain
  clock: BlockClock
  rest: RestClient
  plan: readonly PlannedTask[]
  say(line: string): void
  signal: AbortSignal
}

/**
 * The newest blocks that have payments leave the chain, and a payment is followed: mined, posted again, mined again.
 * @throws where it does not go that way
 */
export async function reorganise({ chain, clock, rest, plan, say, signal }: ReorganisationParts) {
  const byTxid = new Map(plan.map((task) => [readPayment(task.signed_tx).txid, task.task_id]))
  const is = (taskId: string, what: string, holds: (s: Settlement) => boolean): Promise<Settlement> =>
    until(`${taskId} ${what}`, signal, async () => {
      const found = await rest.get(`/api/v1/settlements/${taskId}`, settlement)
      return holds(found) ? found : null
    })
  try {
    const taskId = await until('a block with a payment', signal, () =>
      Promise.resolve(byTxid.get(chain.tip().mined[0]?.payment.txid ?? '') ?? null),
    )
    clock.pause(true)
    const before = await is(taskId, 'as mined', (s) => s.state === 'mined')
    say(`the payment of ${taskId} is mined, in block ${before.height}`)
    const newest = chain.mine()
    const taken = newest.mined.length + (newest.parent?.mined.length ?? 0)
    chain.fork({ depth: DEPTH })
    await is(taskId, 'as posted again', (s) => s.state === 'posted')
    say(
      `the chain forks: its ${DEPTH} newest blocks are gone, with ${taken} payment${taken === 1 ? '' : 's'} in them; that of ${taskId} is back to posted`,
    )
    await sleep(PAUSE_MS, undefined, { signal })
    clock.pause(false)
    const again = await is(
      taskId,
      'as mined again',
      (s) => (s.state === 'mined' || s.state === 'confirmed') && s.index_block_hash !== before.index_block_hash,
    )
    say(`the payment of ${taskId} is mined again, in block ${again.height} of the new branch`)
    return { taskId, taken } satisfies Reorganisation
  } finally {
    clock.pause(false)
  }
}

/** What has been paid for a task. */
export interface PaidTask {
  planned: PlannedTask
  settlement: Settlement
  /** Every time that the chain has it. */
  mined: ReturnType<FakeChain['find']>
}

/** What became of the payments of all tasks that have their result: by the service, and by the chain. */
export const payments = (rest: RestClient, chain: FakeChain, plan: readonly PlannedTask[]): Promise<PaidTask[]> =>
  Promise.all(
    plan
      .filter((planned) => planned.ends === 'submitted')
      .map(async (planned) => ({
        planned,
        settlement: await rest.get(`/api/v1/settlements/${planned.task_id}`, settlement),
        mined: chain.find(readPayment(planned.signed_tx).txid),
      })),
  )

/** The node of a task has been paid so much, micro-STX. */
export const paidFor = ({ mined }: PaidTask): bigint => mined.reduce((sum, { paid }) => sum + paid.payee, 0n)

/** Why a payment is not as it should be; empty when all are. The chain has the last word. */
export const paymentProblems = (paid: readonly PaidTask[]): string[] =>
  paid.flatMap(({ planned: { task_id }, settlement: { state, payee, output_hash, last_error }, mined }) => {
    if (state !== 'confirmed') return [`the payment of ${task_id} is ${state} and not confirmed: ${last_error ?? ''}`]
    const [one, ...more] = mined
    if (one === undefined || more.length > 0) return [`the chain has the payment of ${task_id} ${mined.length} times`]
    const isOurs = one.payee === payee && one.payment.tx.outputHash === output_hash && one.status === 'success'
    return isOurs ? [] : [`the chain has paid for ${task_id} what the service does not say`]
  })

/** One line on all payments. */
export function paymentSummary(paid: readonly PaidTask[], { taskId, taken }: Reorganisation): string {
  const confirmed = paid.filter(({ settlement: { state } }) => state === 'confirmed')
  const sum = confirmed.reduce((total, one) => total + paidFor(one), 0n)
  const payees = new Set(confirmed.map(({ settlement: { payee } }) => payee)).size
  return `${confirmed.length} of ${paid.length} payments are confirmed: ${sum.toLocaleString('en')} micro-STX to ${payees} nodes. A reorganisation took ${taken} of them back, that of ${taskId} too, and each was mined again.`
}
