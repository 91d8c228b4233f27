export type { DueSettlement } from '../../store/settlements.js'

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
