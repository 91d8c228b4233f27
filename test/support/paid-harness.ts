import { createHash } from 'node:crypto'
import * as v from 'valibot'
import type { ChainOptions } from '../../src/core/context.js'
import type { BlockTransaction, SettlementReport } from '../../src/core/settlement/reports.js'
import { submitBody } from '../../src/wire/rest.js'
import { assigned, coreHarness, outcomeOf } from './core-harness.js'

const NODE_KEY = '023c72addb4fdf09af94f0c94d7fe92a386a7e70cf8a1d85916386bb2535c7b1b1'
export const PAYEE = 'STXW53BDJBCGEFXNWEPZ90BSBTQM8TYEXQG3NP3K'
export const ORIGIN = 'ST3Y74M5227FDVHREWPH773F5Y1W1ED8WXXVB0G1S'

const chain: ChainOptions = {
  network: 'testnet',
  requireSignedTx: true,
  confirmations: 3,
  giveSignedTxToPollingNodes: false,
  pollInterval: 10_000,
  warnAfter: 60_000,
  observed: true,
  stakeRequired: false,
  stakeFactor: 3,
  stakeTtl: 60_000,
}
export const hash = (text: string): string => createHash('sha256').update(text).digest('hex')
export const hex = (n: number): string => hash(String(n))
export const txidOf = (nonce: number): string => hex(nonce)

/** A core that looks at the chain, with one node, whose tasks are paid by one origin. */
export function paidHarness(options: Partial<ChainOptions> = {}) {
  const core = coreHarness({}, { ...chain, ...options })
  core.turn({ ...core.hello(1, 'node-001', 64), key: NODE_KEY } as never)
  const submission = (nonce: number, more: Record<string, unknown> = {}) => {
    const { account = null, ...fields } = more as { account?: { nonce: number; balance: number } | null }
    return {
      ...v.parse(submitBody, {
        task_id: `task-${nonce}`,
        user_address: ORIGIN,
        user_input: 'q',
        fee: 300,
        nonce,
        infer_fee: 2500,
        max_infer_time: 600,
        model_name: 'llama',
        signed_tx: 'ab',
        ...fields,
      }),
      paid: { txid: txidOf(nonce), account },
    }
  }
  const submit = (nonce: number, more: Record<string, unknown> = {}) => {
    const turn = core.turn({ op: 'submit', tasks: [submission(nonce, more)] })
    const outcome = outcomeOf(turn, 'submit')
    return { turn, outcome: outcome?.ok === true ? outcome.value[0] : outcome }
  }
  const complete = (nonce: number) => {
    const { turn } = submit(nonce)
    const [assignment] = assigned(turn.effects)
    if (assignment === undefined) throw new Error(`task ${nonce} was given to nobody`)
    const { task_id, attempt } = assignment
    return core.turn({
      op: 'nodeMessage',
      session: 1,
      message: { type: 'task.complete', task_id, attempt, output: `answer ${nonce}`, confidence: 1 } as never,
    })
  }
  const settlement = (nonce: number) => {
    const found = outcomeOf(core.turn({ op: 'settlement', task_id: `task-${nonce}` }), 'settlement')
    return found?.ok === true ? found.value : undefined
  }
  const statusOf = (nonce: number) => {
    const found = outcomeOf(core.turn({ op: 'task', task_id: `task-${nonce}` }), 'task')
    return found?.ok === true ? found.value.task.status : undefined
  }
  const report = (nonce: number, seen: Record<string, unknown>) =>
    core.turn({
      op: 'settlementReports',
      reports: [{ task_id: `task-${nonce}`, ...seen } as SettlementReport],
    })
  const due = () => {
    const found = outcomeOf(core.turn({ op: 'settlementsDue', limit: 64 }), 'settlementsDue')
    if (found?.ok !== true) throw new Error('nothing was said of what is due')
    return found.value
  }
  const ours = (nonce: number): BlockTransaction => ({
    txid: txidOf(nonce),
    origin: ORIGIN,
    nonce,
    inference: {
      payee: PAYEE,
      output_hash: hash(`answer ${nonce}`),
      succeeded: true,
    },
  })
  /** Announces a block; forks have names. */
  const block = (name: string, parent: string, height: number, transactions: BlockTransaction[] = []) =>
    core.turn({
      op: 'chainBlock',
      block: { index_block_hash: name, parent, height, burn_height: height, transactions },
    })
  const tip = (name: string, height: number) =>
    core.turn({ op: 'chainTip', tip: { index_block_hash: name, height, burn_height: height } })
  return { ...core, submit, complete, settlement, statusOf, report, due, ours, block, tip }
}
