import { refuse, type Refusal } from '../../lib/result.js'
import type { SettlementState } from '../../rules/settlement.js'
import type { TaskRow } from '../../store/schema.js'
import type { DueSettlement } from '../../store/settlements.js'
import type { DelegationRow, SettlementRow } from '../../store/settlement-schema.js'
import type { Delegation } from '../../wire/delegation.js'

export type { DueSettlement }

/** What the relay has seen of a settlement. */
export type SettlementReport = { task_id: string } & (
  | /** A miner holds it, byte for byte. */ { is: 'posted' }
  /** One with a lower nonce has to go first, which is tried at this time again; service clock, ms. */
  | { is: 'behind'; until: number }
  /** It could not be posted, or looked for, this time. */
  | { is: 'later'; error: string }
  /** A miner has refused it for good. */
  | { is: 'rejected'; error: string }
  /** A miner holds it with another payee or another output hash. */
  | { is: 'hijacked'; error: string }
  /** No miner holds it, and its nonce is free. */
  | { is: 'absent' }
  /** Its nonce is used on the chain. */
  | { is: 'nonce_used' }
)

/** What a block has of a payment that may be one of ours. Hashes: hex, lower case. */
export interface BlockTransaction {
  txid: string
  /** The address that pays for it, and its nonce. */
  origin: string
  nonce: number
  /** What it did; null when it is no inference. */
  inference: { payee: string; output_hash: string; succeeded: boolean } | null
}

export interface Tip {
  index_block_hash: string
  height: number
  burn_height: number
}

/** A block that was announced, and what of it may matter. A large one may come in several parts. */
export interface AnnouncedBlock extends Tip {
  parent: string
  transactions: readonly BlockTransaction[]
}

/** What the chain says of a stake: null where there is none, unknown where it could not be asked. Micro-STX, burn height. */
export interface StakeSeen {
  address: string
  stake: { amount: number; unlock_height: number } | null | 'unknown'
}

/** What a node can be given of what is paid. */
export interface NodeCover {
  payee: string | null
  /** Micro-STX; null where it is not known, or does not matter. */
  stake: number | null
  /** Why it gets less than it could work on; null when nothing keeps it. */
  why: string | null
}

/** What the relay has to do now. */
export interface DueWork {
  /** To be posted, each list those of one origin in the order of their nonces. */
  post: DueSettlement[][]
  /** Posted or found before: to be looked for again. */
  look: DueSettlement[]
  /** They wait for one with a lower nonce, which is tried at this time again; service clock, ms. */
  behind: { task_id: string; until: number }[]
  /** When there is more to do, ms from now; null when nothing waits for a time. */
  nextIn: number | null
}

/** A task as far as everybody may know who knows its transaction. */
export interface PaidTask {
  task_id: string
  status: TaskRow['status']
  created_at: number
  /** Null before it has a result. */
  output_hash: string | null
  payee: string | null
}

/** Where the chain is not looked at. */
export const NO_CHAIN: Refusal = refuse(
  'not_found',
  'this service does not look at the chain: its configuration has no section [chain]',
)

/** What is asked of settlements. */
export type SettlementRequest =
  /** `before`: the `next` of the page before; newest task_id first. */
  | { op: 'settlements'; states: readonly SettlementState[]; before: string | null; limit: number }
  | { op: 'settlement'; task_id: string }
  | { op: 'settlementRetry'; task_id: string }
  /** What a miner asks for the transaction that it holds. */
  | { op: 'taskOfTx'; txid: string }
  /** The owner of an address lets a node be paid there; the door has verified that he has signed it. */
  | { op: 'delegate'; delegation: Delegation }
  /** In the order of the nodes' keys; `after`: the `next` of the page before. */
  | { op: 'delegations'; after: string | null; limit: number }
  | { op: 'undelegate'; node_key: string }

/** What the service itself tells and asks of settlements. */
export type SettlementWork =
  /** What the relay has to look at now. */
  | { op: 'settlementsDue'; limit: number }
  /** What is posted for a settlement. */
  | { op: 'settlementTexts'; task_id: string }
  | { op: 'settlementReports'; reports: readonly SettlementReport[] }
  | { op: 'chainTip'; tip: Tip }
  | { op: 'chainBlock'; block: AnnouncedBlock }
  /** Blocks were missed: what is open is to be looked at. */
  | { op: 'chainGap' }
  /** Whose stakes are to be asked for. */
  | { op: 'stakesDue' }
  | { op: 'stakes'; stakes: readonly StakeSeen[]; burn_height: number }
  /** Transactions that a miner has dropped. */
  | { op: 'chainDropped'; txids: readonly string[] }

/** What each of them gives back. */
export interface SettlementResults {
  settlements: { settlements: SettlementRow[]; next: string | null }
  settlement: SettlementRow
  settlementRetry: SettlementRow
  taskOfTx: PaidTask
  delegate: DelegationRow
  delegations: { delegations: DelegationRow[]; next: string | null }
  undelegate: null
  settlementsDue: DueWork
  settlementTexts: { signed_tx: string; output: string } | null
  settlementReports: null
  chainTip: null
  chainBlock: null
  chainDropped: null
  chainGap: null
  stakesDue: { addresses: string[] }
  stakes: null
}
