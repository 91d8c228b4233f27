import { createHash } from 'node:crypto'
import { onTestFinished } from 'vitest'
import { chainDefaults, type ServiceConfig } from '../../src/config.js'
import { decodeC32 } from '../../src/chain/c32.js'
import { readPayment } from '../../src/chain/payment.js'
import { fillIn } from '../../src/chain/transaction.js'
import { signInferTransaction, type Payment } from '../../src/chain/signing.js'
import { createFakeChain, type FakeChain, type FakeChainOptions } from '../../src/demo/chain/fake-chain.js'
import { startEventProxy } from './event-proxy.js'
import { startNode } from './inference-node.js'
import { startService, type Service } from './service.js'
import { until } from './wait.js'

/** Test keys, and their addresses on testnet. */
export const USER_KEY = `${'11'.repeat(32)}01`
export const USER = 'ST3Y74M5227FDVHREWPH773F5Y1W1ED8WXXVB0G1S'
/** Somebody else. */
export const THIEF = 'ST361P1W3HRW7VTPD1S935RF8PJFMRAF4GJMPMQZN'
const SIGNER_KEY = `${'44'.repeat(32)}01`

type Chain = NonNullable<ServiceConfig['chain']>

/** What a wallet signs, and the submission that says the same. */
export function paidTask(nonce: number, more: Partial<Payment> = {}) {
  const payment: Payment = {
    network: 'testnet',
    privateKey: USER_KEY,
    nonce,
    fee: 400,
    amount: 2500,
    userInput: `What is a lease? ${nonce}`,
    context: '',
    modelName: 'llama-3-8b',
    ...more,
  }
  return {
    task_id: `task-${nonce}`,
    user_address: USER,
    user_input: payment.userInput,
    context: payment.context,
    fee: Number(payment.fee),
    nonce: Number(payment.nonce),
    infer_fee: Number(payment.amount),
    max_infer_time: 60,
    model_name: payment.modelName,
    signed_tx: signInferTransaction(payment).toString('hex'),
  }
}

/** A service beside a chain of its own, both stopped after the test. Blocks are mined by the test. */
export async function startPaidService({
  chain: settings = {},
  inference = {},
  fake = {},
  observed = true,
  beside,
}: {
  chain?: Partial<Chain>
  inference?: Parameters<typeof startService>[0]
  fake?: FakeChainOptions
  observed?: boolean
  /** A chain that is there already. */
  beside?: FakeChain
} = {}) {
  const chain = beside ?? (await createFakeChain({ balances: { [USER]: 1_000_000_000 }, repeatEvery: 20, ...fake }))
  const service = await startService(inference, undefined, {
    signer: { stacks_private_key: SIGNER_KEY, endpoint: chain.url, network: 'testnet' },
    chain: chainDefaults({
      ...(observed ? { event_observer: '127.0.0.1:0' } : {}),
      confirmations: 3,
      poll_interval: 0.05,
      request_timeout: 2,
      ...settings,
    }),
  })
  if (beside === undefined) onTestFinished(() => chain.close())
  const events = await startEventProxy()
  events.leadTo(service.observer)
  if (service.observer !== null) chain.observe(events.url)
  return { chain, service, events, ...paying(service) }
}

/** The txid of what `paidTask` makes. */
export const txidOf = (task: { signed_tx: string }): string => readPayment(task.signed_tx).txid

/** Gives a miner a transaction of this user, filled in with its payee and output, past the service. */
export async function postDirectly(chain: FakeChain, task: { signed_tx: string }, payee: string, output: string) {
  const to = decodeC32(payee)
  if (to === null) throw new Error(`${payee} is no address`)
  const outputHash = createHash('sha256').update(output).digest('hex')
  const tx = fillIn(Buffer.from(task.signed_tx, 'hex'), { payee: to, outputHash })
  const answer = await fetch(`${chain.url}/v2/transactions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ tx: tx.toString('hex'), attachment: Buffer.from(output).toString('hex') }),
  })
  return { status: answer.status, text: await answer.text() }
}

/** What tests do with a service that is paid. */
export function paying(service: Pick<Service, 'post' | 'get' | 'status' | 'url'>) {
  const settlement = async (nonce: number) =>
    ((await service.get(`/api/v1/settlements/task-${nonce}`)).body?.data ?? null) as Record<string, unknown> | null
  return {
    submit: (task: object) => service.post('/api/v1/tasks/submit', task),
    settlement,
    /** Waits until the settlement of a task is in this state. */
    settles: (nonce: number, state: string) =>
      until(async () => {
        const found = await settlement(nonce)
        return found?.state === state ? found : null
      }, `the settlement of task-${nonce} being ${state}`),
    /** An operator has it tried again now. */
    retry: (nonce: number) => service.post(`/api/v1/settlements/task-${nonce}/retry`, {}),
    /** A node that says each prompt back, with a key of its own; paid at `payee`. */
    node: (options: Partial<Parameters<typeof startNode>[0]> = {}) =>
      startNode({ coordinator: service.url, ...options }),
  }
}
