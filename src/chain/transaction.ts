import { createHash } from 'node:crypto'
import { hash160, principalOfHash } from './address.js'
import { encodeC32, type Versioned } from './c32.js'
import { TransactionError, UNSET_PRINCIPAL, type InferTransaction, type SpendingCondition } from './transaction-form.js'
import { parseInferTransaction } from './transaction-reader.js'
import { writeInferTransaction } from './transaction-writer.js'

export {
  MAX_STRING_BYTES,
  MAX_TRANSACTION_BYTES,
  OUTPUT_HASH_BYTES,
  TransactionError,
  UNSET_PRINCIPAL,
  type InferTransaction,
  type SpendingCondition,
} from './transaction-form.js'
export { parseInferTransaction, writeInferTransaction }

/**
 * A signed transaction with who is paid and for what: neither is covered by its signature, or changes its id.
 * @param outputHash SHA-256 of the output in UTF-8, 64 lower-case hex digits: for anything else the chain pays nobody
 * @throws TransactionError where the bytes are no transaction, or what is filled in is not of this form
 */
export function fillIn(bytes: Uint8Array, { payee, outputHash }: { payee: Versioned; outputHash: string }): Buffer {
  if (!/^[0-9a-f]{64}$/.test(outputHash))
    throw new TransactionError('output_hash: must be a SHA-256 in lower-case hex, 64 digits')
  return writeInferTransaction({ ...parseInferTransaction(bytes), node: payee, outputHash })
}

/**
 * A transaction as it was signed: without who is paid and for what. Two of the same id are the same bytes then.
 * @throws TransactionError where the bytes are no transaction
 */
export const masked = (bytes: Uint8Array): Buffer => writeMasked(parseInferTransaction(bytes))

const writeMasked = (tx: InferTransaction): Buffer =>
  writeInferTransaction({ ...tx, node: UNSET_PRINCIPAL, outputHash: '' })

/** The id of a transaction: 64 lower-case hex digits, without 0x. The same before and after it is filled in. */
export const txidOf = (tx: InferTransaction): string => sha512_256(writeMasked(tx)).toString('hex')

/**
 * What the SHA-512/256 of is signed by the user: 49 bytes. The first 32 are the hash of the transaction without what is not known
 * before it is signed, and without the sponsor.
 */
export function signedMessage(tx: InferTransaction): Buffer {
  const bare = { ...tx, nonce: 0n, fee: 0n, signature: NO_SIGNATURE }
  const initial = sha512_256(
    writeMasked(tx.auth === 'sponsored' ? { ...bare, auth: tx.auth, sponsor: NO_SPONSOR } : bare),
  )
  const rest = Buffer.alloc(17, ORIGIN)
  rest.writeBigUInt64BE(tx.fee, 1)
  rest.writeBigUInt64BE(tx.nonce, 9)
  return Buffer.concat([initial, rest])
}

/** SHA-512/256, the hash of everything in a transaction. */
export const sha512_256 = (bytes: Uint8Array): Buffer => createHash('sha512-256').update(bytes).digest()

/** The address that pays: of its network and kind of signature. */
export const originOf = ({ version, hashMode, signer }: InferTransaction): string =>
  encodeC32(principalOfHash(signer, hashMode === 'p2pkh' ? 'single' : 'multi', version === 0 ? 'mainnet' : 'testnet'))

/** What stands for a key in a transaction. @param key hex, compressed or not */
export const signerHash = (key: string, hashMode: InferTransaction['hashMode']): string =>
  hashMode === 'p2pkh' ? hash160(key) : hash160(`0014${hash160(key)}`)

/** Which side signs: the origin, also where somebody sponsors it. */
const ORIGIN = 0x04
const NO_SIGNATURE = '00'.repeat(65)
const NO_SPONSOR: SpendingCondition = {
  hashMode: 'p2pkh',
  signer: '00'.repeat(20),
  nonce: 0n,
  fee: 0n,
  keyEncoding: 'compressed',
  signature: NO_SIGNATURE,
}
