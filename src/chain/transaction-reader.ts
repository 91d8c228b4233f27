import { createReader, hexByte, type Reader } from './byte-reader.js'
import type { Versioned } from './c32.js'
import {
  AUTH,
  HASH_MODE,
  INFER,
  KEY_ENCODING,
  MAX_ADDRESS_VERSION,
  MAX_STRING_BYTES,
  MAX_TRANSACTION_BYTES,
  STANDARD_PRINCIPAL,
  TransactionError,
  type InferTransaction,
  type SpendingCondition,
} from './transaction-form.js'

const MULTISIG: readonly number[] = [0x01, 0x03, 0x05, 0x07]
const CONTRACT_PRINCIPAL = 0x06
const OTHER_PAYLOADS: readonly (string | undefined)[] = [
  'a token transfer',
  'a smart contract',
  'a contract call',
  'a poison microblock',
  'a coinbase',
  'a coinbase',
  'a smart contract',
  'a tenure change',
  'a coinbase',
  undefined,
  'the registration of a model',
]

// Fatal: an invalid byte is refused, never replaced. A byte order mark is part of the text.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads exactly one transaction of an inference. That it is signed by whom it says is for `origin.ts` to look at.
 * @throws TransactionError for everything else, also for what comes after it
 */
export function parseInferTransaction(bytes: Uint8Array): InferTransaction {
  if (bytes.length > MAX_TRANSACTION_BYTES)
    throw new TransactionError(
      `transaction: must have at most ${MAX_TRANSACTION_BYTES} bytes, as one of an inference has; it has ${bytes.length}`,
    )
  const read = createReader(bytes, (message) => new TransactionError(message))
  const version = read.oneOf('version', [0x00, 0x80], '00 (mainnet) or 80 (testnet)')
  const chainId = read.take('chain_id', 4).readUInt32BE()
  const auth = read.oneOf('auth', [AUTH.standard, AUTH.sponsored], '04 (standard) or 05 (sponsored)')
  const origin = readCondition(read, 'origin')
  const who =
    auth === AUTH.standard
      ? ({ auth: 'standard' } as const)
      : ({ auth: 'sponsored', sponsor: readCondition(read, 'sponsor') } as const)
  const anchorMode = read.oneOf('anchor_mode', [1, 2, 3], '01, 02 or 03')
  const postConditionMode = read.oneOf('post_condition_mode', [1, 2], '01 (allow) or 02 (deny)')
  const postConditions = read.take('post_conditions', 4).readUInt32BE()
  if (postConditions !== 0)
    throw new TransactionError(`post_conditions: must be none for an inference; there are ${postConditions}`)
  const payload = read.byte('payload')
  if (payload !== INFER)
    throw new TransactionError(
      `payload: is ${OTHER_PAYLOADS[payload] ?? `of the unknown type ${hexByte(payload)}`}, not an inference (09)`,
    )
  const transaction: InferTransaction = {
    version,
    chainId,
    ...origin,
    ...who,
    anchorMode,
    postConditionMode,
    user: readPrincipal(read, 'user'),
    amount: read.take('amount', 8).readBigUInt64BE(),
    userInput: readString(read, 'user_input'),
    context: readString(read, 'context'),
    node: readPrincipal(read, 'node'),
    modelName: readString(read, 'model_name'),
    outputHash: readString(read, 'output_hash'),
  }
  const left = read.left()
  if (left > 0) throw new TransactionError(`transaction: must end after output_hash; bytes left over: ${left}`)
  return transaction
}

function readCondition(read: Reader, field: 'origin' | 'sponsor'): SpendingCondition {
  const mode = read.byte(`${field}.hash_mode`)
  if (MULTISIG.includes(mode))
    throw new TransactionError(`${field}.hash_mode: is multisig (${hexByte(mode)}); sign with one key, P2PKH or P2WPKH`)
  if (mode !== HASH_MODE.p2pkh && mode !== HASH_MODE.p2wpkh)
    throw new TransactionError(`${field}.hash_mode: must be 00 (P2PKH) or 02 (P2WPKH); it is ${hexByte(mode)}`)
  const signer = read.take(`${field}.signer`, 20).toString('hex')
  const nonce = read.take(`${field}.nonce`, 8).readBigUInt64BE()
  const fee = read.take(`${field}.fee`, 8).readBigUInt64BE()
  const encoding = read.oneOf(`${field}.key_encoding`, [0, 1], '00 (compressed) or 01 (uncompressed)')
  if (mode === HASH_MODE.p2wpkh && encoding !== KEY_ENCODING.compressed)
    throw new TransactionError(`${field}.key_encoding: must be 00 (compressed), as hash_mode is P2WPKH; it is 01`)
  return {
    hashMode: mode === HASH_MODE.p2pkh ? 'p2pkh' : 'p2wpkh',
    signer,
    nonce,
    fee,
    keyEncoding: encoding === KEY_ENCODING.compressed ? 'compressed' : 'uncompressed',
    signature: read.take(`${field}.signature`, 65).toString('hex'),
  }
}

function readPrincipal(read: Reader, field: string): Versioned {
  const type = read.byte(field)
  if (type === CONTRACT_PRINCIPAL)
    throw new TransactionError(`${field}: is a contract (06); it must be a standard principal (05)`)
  if (type !== STANDARD_PRINCIPAL)
    throw new TransactionError(`${field}: must be a standard principal (05); its type is ${hexByte(type)}`)
  const version = read.byte(field)
  if (version > MAX_ADDRESS_VERSION)
    throw new TransactionError(`${field}: its version must be at most ${MAX_ADDRESS_VERSION}; it is ${version}`)
  return { version, hash160: read.take(field, 20).toString('hex') }
}

function readString(read: Reader, field: string): string {
  const length = read.byte(field)
  if (length > MAX_STRING_BYTES)
    throw new TransactionError(`${field}: must have at most ${MAX_STRING_BYTES} bytes; it has ${length}`)
  const bytes = read.take(field, length)
  try {
    return utf8.decode(bytes)
  } catch {
    throw new TransactionError(`${field}: must be valid UTF-8`)
  }
}
