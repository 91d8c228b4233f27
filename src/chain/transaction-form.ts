import type { Versioned } from './c32.js'

/** Bytes that are no transaction of an inference; the message names the field and what was expected. */
export class TransactionError extends Error {
  override name = 'TransactionError'
}

/** How one side of a transaction is signed for. */
export interface SpendingCondition {
  hashMode: 'p2pkh' | 'p2wpkh'
  /** hash160 of the key that signs, lower-case hex. */
  signer: string
  nonce: bigint
  /** micro-STX for whoever mines it. */
  fee: bigint
  keyEncoding: 'compressed' | 'uncompressed'
  /** V, R, S: the recovery id first; 65 bytes, lower-case hex. */
  signature: string
}

/** The signed payment of one inference. What is in the spending condition here is the user's; a sponsor has its own. */
export type InferTransaction = SpendingCondition & {
  /** 0x00 mainnet, 0x80 testnet. */
  version: 0x00 | 0x80
  chainId: number
  anchorMode: 1 | 2 | 3
  /** 1 allow, 2 deny. */
  postConditionMode: 1 | 2
  user: Versioned
  /** micro-STX for the inference. */
  amount: bigint
  userInput: string
  context: string
  /** Who is paid; `UNSET_PRINCIPAL` until it is filled in. */
  node: Versioned
  modelName: string
  /** Of the output: 64 hex digits; empty until it is filled in. */
  outputHash: string
} & ({ auth: 'standard' } | { auth: 'sponsored'; sponsor: SpendingCondition })

export const UNSET_PRINCIPAL: Versioned = { version: 0, hash160: '00'.repeat(20) }

/** Of each of the four strings: the chain refuses more. */
export const MAX_STRING_BYTES = 128
/** Of the output hash, once it is filled in. */
export const OUTPUT_HASH_BYTES = 64

export const CONDITION_BYTES = 1 + 20 + 8 + 8 + 1 + 65
const PRINCIPAL_BYTES = 1 + 1 + 20
/** The longest transaction there is: sponsored, with each string as long as it may be. */
export const MAX_TRANSACTION_BYTES =
  1 + 4 + 1 + 2 * CONDITION_BYTES + 1 + 1 + 4 + 1 + 2 * PRINCIPAL_BYTES + 8 + 4 * (1 + MAX_STRING_BYTES)

// What the bytes of these fields are.
export const AUTH = { standard: 0x04, sponsored: 0x05 } as const
export const HASH_MODE = { p2pkh: 0x00, p2wpkh: 0x02 } as const
export const KEY_ENCODING = { compressed: 0x00, uncompressed: 0x01 } as const
export const INFER = 0x09
export const STANDARD_PRINCIPAL = 0x05
/** c32 has a digit for each version up to it. */
export const MAX_ADDRESS_VERSION = 31
