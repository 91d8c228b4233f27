import type * as v from 'valibot'
import type { blockFields, minedFields, submissionFields } from './fields.js'

/** What the observer of a node of the chain tells. Hashes and txids are in lower-case hex without 0x, heights in blocks. */
export type ChainEvent = BlockEvent | BurnBlockEvent | DroppedEvent | SubmissionEvent | GapEvent

/**
 * A block was processed, on whichever fork: none is ever taken back. Whether it is canonical follows from the tip, and from the
 * parents.
 */
export interface BlockEvent extends v.InferOutput<typeof blockFields> {
  is: 'block'
  /** All that have an origin, in order. */
  transactions: MinedTransaction[]
}

/** Whose nonce a transaction has used. */
export interface Spends {
  /** Of the transaction: its top bit is set on testnet. */
  version: number
  hashMode: number
  /** 20 bytes, lower-case hex. */
  signer: string
  nonce: bigint
}

export interface MinedTransaction {
  txid: string
  spends: Spends
  /** Null when it is none that one key has signed. `rawTx` has the payee and output hash as they were mined. */
  inference: Omit<v.InferOutput<typeof minedFields>, 'txid'> | null
}

export interface BurnBlockEvent {
  is: 'burn_block'
  height: number
}

/** The node holds these transactions no more. What signers filter out of a block goes without any event. */
export interface DroppedEvent {
  is: 'dropped'
  txids: string[]
  /** Such as `ReplaceByFee`, `StaleGarbageCollect`; a newer node may have others. */
  reason: string
}

/** Somebody wants a task done. Nothing of it is proven. */
export interface SubmissionEvent {
  is: 'submission'
  task: v.InferOutput<typeof submissionFields>
  /** The address it came from. */
  from: string
}

/** Something of the chain was missed: what is open must be compared with the node. */
export interface GapEvent {
  is: 'gap'
  /** How many events. */
  count: number
  /** Of the first of them: words that follow "an event was lost: ". */
  why: string
}
