import type { Network } from './address.js'
import { encodeC32 } from './c32.js'
import { placeholderOf } from './encryption.js'
import {
  MAX_STRING_BYTES,
  MAX_TRANSACTION_BYTES,
  originOf,
  OUTPUT_HASH_BYTES,
  parseInferTransaction,
  sha512_256,
  signedMessage,
  TransactionError,
  txidOf,
  UNSET_PRINCIPAL,
  type InferTransaction,
} from './transaction.js'

/** A signed transaction that came with a task. Whether its signature is its origin's is for `origin.ts` to say. */
export interface SignedPayment {
  tx: InferTransaction
  bytes: Buffer
  /** 64 lower-case hex digits, without 0x. */
  txid: string
  /** What was signed, before its last hash; and that hash, 64 hex digits. */
  message: Buffer
  presign: string
  /** The address that pays. */
  origin: string
}

/**
 * A signed transaction in hex, with or without 0x. What is longer than any is refused before it is decoded. Costs about 0.1 ms:
 * of a batch, give everything else its turn in between.
 * @throws TransactionError for everything that is not exactly a transaction of an inference
 */
export function readPayment(signedTxHex: string): SignedPayment {
  const hex = /^0x/i.test(signedTxHex) ? signedTxHex.slice(2) : signedTxHex
  if (hex.length > MAX_TRANSACTION_BYTES * 2)
    throw new TransactionError(
      `transaction: must have at most ${MAX_TRANSACTION_BYTES} bytes in hex, as one of an inference has; it has ${Math.ceil(hex.length / 2)}`,
    )
  if (hex.length % 2 !== 0 || /[^0-9a-f]/i.test(hex))
    throw new TransactionError('transaction: must be bytes in hex, two digits each')
  const bytes = Buffer.from(hex, 'hex')
  const tx = parseInferTransaction(bytes)
  const message = signedMessage(tx)
  return { tx, bytes, txid: txidOf(tx), message, presign: sha512_256(message).toString('hex'), origin: originOf(tx) }
}

/** What a task says, as far as its transaction has to say the same. */
export interface PaidTask {
  user_address: string
  /** As they were submitted: of an encrypted task the encrypted texts. */
  user_input: string
  context: string
  model_name: string
  /** micro-STX; null where only the transaction says it. */
  fee: number | null
  nonce: number | null
  infer_fee: number
  is_encrypted: boolean
}

export interface Mismatch {
  /** `owner`: the transaction is somebody else's (401). `terms`: it does not pay for this task (400). */
  kind: 'owner' | 'terms'
  field: string
  /** Begins with the field, and says both values. */
  message: string
}

/**
 * In what a signed transaction is not what its task says, or cannot pay for it; empty when it is the payment of this task. The
 * signature is not looked at.
 */
export function mismatches({ tx, bytes, origin }: SignedPayment, task: PaidTask, network: Network): Mismatch[] {
  const { version, chainId } = WIRE[network]
  const found: Mismatch[] = []
  const add = (field: string, message: string, kind: Mismatch['kind'] = 'terms'): void =>
    void found.push({ kind, field, message: `${field}: ${message}` })
  const compare = (field: string, said: string | bigint, signed: string | bigint, hint = ''): void => {
    if (said !== signed) add(field, `the task says ${show(said)}, the signed transaction ${show(signed)}${hint}`)
  }
  const compareText = (field: 'user_input' | 'context', signed: string): void => {
    const hint = !task.is_encrypted && Buffer.byteLength(task[field]) > MAX_STRING_BYTES ? TOO_LONG : ''
    compare(field, task.is_encrypted ? placeholderOf(task[field]) : task[field], signed, hint)
  }

  if (origin !== task.user_address)
    add('user_address', `the task says ${show(task.user_address)}, the signed transaction is by ${origin}`, 'owner')
  if (tx.version !== version)
    add('version', `of ${network} it is ${hex(version, 2)}, in the signed transaction ${hex(tx.version, 2)}`)
  if (tx.chainId !== chainId)
    add('chain_id', `of ${network} it is ${hex(chainId, 8)}, in the signed transaction ${hex(tx.chainId, 8)}`)
  if (tx.auth !== 'standard') add('auth', 'must be standard: who pays signs; the signed transaction is sponsored')
  const user = encodeC32(tx.user)
  if (user !== origin) add('user', `must be who signs, ${origin}; the signed transaction says ${user}`)
  compare('infer_fee', BigInt(task.infer_fee), tx.amount)
  if (task.fee !== null) compare('fee', BigInt(task.fee), tx.fee)
  if (task.nonce !== null) compare('nonce', BigInt(task.nonce), tx.nonce)
  compare('model_name', task.model_name, tx.modelName)
  compareText('user_input', tx.userInput)
  compareText('context', tx.context)
  const node = encodeC32(tx.node)
  if (node !== UNSET_NODE)
    add('node', `must be unset, ${UNSET_NODE}, until a node has the task; the signed transaction says ${node}`)
  if (tx.outputHash !== '')
    add('output_hash', `must be empty until there is an output; the signed transaction says ${show(tx.outputHash)}`)
  const least = BigInt(bytes.length + OUTPUT_HASH_BYTES)
  if (tx.fee < least)
    add(
      'fee',
      `must be at least ${least} micro-STX, one for each byte with the output hash, or no miner takes it; the signed transaction pays ${tx.fee}`,
    )
  return found
}

/** What the version and chain id of a transaction are on each network. */
export const WIRE = {
  mainnet: { version: 0x00, chainId: 0x00000001 },
  testnet: { version: 0x80, chainId: 0x80000000 },
  devnet: { version: 0x80, chainId: 0x80000000 },
} as const satisfies Record<Network, Pick<InferTransaction, 'version' | 'chainId'>>

const UNSET_NODE = encodeC32(UNSET_PRINCIPAL)
const TOO_LONG = `; one signed transaction holds at most ${MAX_STRING_BYTES} bytes of it: encrypt what is longer`

const MAX_SHOWN = 80
/** A value as a message shows it: a text in quotes, and of a long one its begin. */
const show = (value: string | bigint): string =>
  typeof value === 'bigint' || value.length <= MAX_SHOWN
    ? typeof value === 'bigint'
      ? `${value}`
      : JSON.stringify(value)
    : `${JSON.stringify(value.slice(0, MAX_SHOWN))}… (${value.length} characters)`

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')
