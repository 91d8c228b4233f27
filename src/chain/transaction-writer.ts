import type { Versioned } from './c32.js'
import {
  AUTH,
  HASH_MODE,
  INFER,
  KEY_ENCODING,
  MAX_ADDRESS_VERSION,
  MAX_STRING_BYTES,
  STANDARD_PRINCIPAL,
  TransactionError,
  type InferTransaction,
  type SpendingCondition,
} from './transaction-form.js'

/**
 * The bytes of a transaction: what `parseInferTransaction` reads as the same.
 * @throws TransactionError where a field has a value that no transaction can hold
 */
export function writeInferTransaction(tx: InferTransaction): Buffer {
  return Buffer.concat([
    Buffer.from([tx.version]),
    uint(tx.chainId, 4, 'chain_id'),
    Buffer.from([AUTH[tx.auth]]),
    writeCondition(tx, 'origin'),
    ...(tx.auth === 'sponsored' ? [writeCondition(tx.sponsor, 'sponsor')] : []),
    Buffer.from([tx.anchorMode, tx.postConditionMode, 0, 0, 0, 0, INFER]),
    writePrincipal(tx.user, 'user'),
    uint(tx.amount, 8, 'amount'),
    writeString(tx.userInput, 'user_input'),
    writeString(tx.context, 'context'),
    writePrincipal(tx.node, 'node'),
    writeString(tx.modelName, 'model_name'),
    writeString(tx.outputHash, 'output_hash'),
  ])
}

/** One side's condition in bytes. @param field what an error begins with */
const writeCondition = (condition: SpendingCondition, field: 'origin' | 'sponsor'): Buffer =>
  Buffer.concat([
    Buffer.from([HASH_MODE[condition.hashMode]]),
    fixed(condition.signer, 20, `${field}.signer`),
    uint(condition.nonce, 8, `${field}.nonce`),
    uint(condition.fee, 8, `${field}.fee`),
    Buffer.from([KEY_ENCODING[condition.keyEncoding]]),
    fixed(condition.signature, 65, `${field}.signature`),
  ])

function writePrincipal({ version, hash160 }: Versioned, field: string): Buffer {
  if (!Number.isInteger(version) || version < 0 || version > MAX_ADDRESS_VERSION)
    throw new TransactionError(`${field}: its version must be from 0 to ${MAX_ADDRESS_VERSION}; it is ${version}`)
  return Buffer.concat([Buffer.from([STANDARD_PRINCIPAL, version]), fixed(hash160, 20, field)])
}

function writeString(text: string, field: string): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length > MAX_STRING_BYTES)
    throw new TransactionError(`${field}: must have at most ${MAX_STRING_BYTES} bytes in UTF-8; it has ${bytes.length}`)
  if (!text.isWellFormed()) throw new TransactionError(`${field}: must be valid Unicode (it holds a lone surrogate)`)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

function fixed(hex: string, count: number, field: string): Buffer {
  if (hex.length !== count * 2 || /[^0-9a-f]/.test(hex))
    throw new TransactionError(`${field}: must be ${count} bytes in lower-case hex`)
  return Buffer.from(hex, 'hex')
}

function uint(value: number | bigint, count: 4 | 8, field: string): Buffer {
  const most = 2n ** BigInt(count * 8)
  if ((typeof value === 'number' && !Number.isInteger(value)) || value < 0 || value >= most)
    throw new TransactionError(`${field}: must be an integer from 0 to ${most - 1n}; it is ${value}`)
  return fixed(value.toString(16).padStart(count * 2, '0'), count, field)
}
