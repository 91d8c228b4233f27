import { secp256k1 } from '@noble/curves/secp256k1.js'
import { principalOfHash, type Network } from './address.js'
import { WIRE } from './payment.js'
import {
  sha512_256,
  signedMessage,
  signerHash,
  UNSET_PRINCIPAL,
  writeInferTransaction,
  type InferTransaction,
} from './transaction.js'

/** What a user signs to pay for an inference. Amounts in micro-STX. */
export interface Payment {
  network: Network
  /** 32 bytes in hex, or 33 with a trailing 01: as wallets write one whose public key is compressed. */
  privateKey: string
  nonce: bigint | number
  /** For whoever mines it: at least its length in bytes and 64. */
  fee: bigint | number
  /** For the inference. */
  amount: bigint | number
  /** At most 128 bytes each. */
  userInput: string
  context: string
  modelName: string
  /** P2PKH where it is not said. */
  hashMode?: InferTransaction['hashMode']
}

/**
 * The signed transaction that pays for an inference, as a wallet makes it; with a low S, and the same for the same values.
 * @throws TransactionError where a field has a value that no transaction can hold
 */
export function signInferTransaction(payment: Payment): Buffer {
  const { network, privateKey, hashMode = 'p2pkh' } = payment
  const compressed = privateKey.length > 64
  const secret = Buffer.from(privateKey.slice(0, 64), 'hex')
  const key = Buffer.from(secp256k1.getPublicKey(secret, compressed)).toString('hex')
  const signer = signerHash(key, hashMode)
  const unsigned: InferTransaction = {
    ...WIRE[network],
    auth: 'standard',
    hashMode,
    signer,
    nonce: BigInt(payment.nonce),
    fee: BigInt(payment.fee),
    keyEncoding: compressed ? 'compressed' : 'uncompressed',
    signature: '00'.repeat(65),
    anchorMode: 3,
    postConditionMode: 2,
    user: principalOfHash(signer, hashMode === 'p2pkh' ? 'single' : 'multi', network),
    amount: BigInt(payment.amount),
    userInput: payment.userInput,
    context: payment.context,
    node: UNSET_PRINCIPAL,
    modelName: payment.modelName,
    outputHash: '',
  }
  return writeInferTransaction({ ...unsigned, signature: signHash(sha512_256(signedMessage(unsigned)), secret) })
}

/** V, R and S of a hash, hex. */
const signHash = (hash: Uint8Array, secret: Uint8Array): string =>
  Buffer.from(secp256k1.sign(hash, secret, { prehash: false, format: 'recovered' })).toString('hex')
