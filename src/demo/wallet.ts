import { createHash } from 'node:crypto'
import { addressOf } from '../chain/address.js'
import { publicKeyOf } from '../chain/private-key.js'
import { signInferTransaction, type Payment } from '../chain/signing.js'

/** The network of the demo. */
export const NETWORK = 'testnet'

export interface Wallet {
  /** 32 bytes in hex, and 01. */
  privateKey: string
  address: string
  /** 33 bytes, lower-case hex. */
  publicKey: string
  /** The signed transaction that pays for an inference, in hex. */
  sign(payment: Omit<Payment, 'network' | 'privateKey'>): string
}

/** A key that is the same for the same name: good for a demo, and for nothing that is worth anything. */
export function createWallet(name: string): Wallet {
  const secret = createHash('sha256').update(`demo ${name}`).digest('hex')
  const privateKey = `${secret}01`
  const key = publicKeyOf(privateKey)
  return {
    privateKey,
    address: addressOf(key, NETWORK),
    publicKey: key.compressed,
    sign: (payment) => signInferTransaction({ ...payment, network: NETWORK, privateKey }).toString('hex'),
  }
}
