import { ECDH } from 'node:crypto'
import { canonicalJson } from '../lib/canonical-json.js'
import { sha256InPool } from '../lib/sha256.js'
import { parseCompact, readKey, resultText, signInPool, verifyInPool } from '../wire/keys.js'
import { RECEIPT_TYPE, type Receipt, type SignedReceipt } from '../wire/receipt.js'
import { addressOf, type Network } from './address.js'
import { privateKeyObject, publicKeyOf } from './private-key.js'

type Hashed = 'input_hash' | 'context_hash' | 'output_hash'
type OfService = 'type' | 'network' | 'service_key' | 'service_address'

/** What a receipt is made of. Texts as they were submitted, or their UTF-8. */
export type ReceiptContent = Omit<Receipt, Hashed | OfService> & {
  user_input: string | Uint8Array
  context: string | Uint8Array
  output: string | Uint8Array
}

/** Makes receipts, and signs them. Hashes of long texts and signatures are computed in the thread pool. */
export type ReceiptSigner = (content: ReceiptContent) => Promise<{ receipt: Receipt; signature: string }>

/** @param privateKey as the configuration has checked it */
export function createReceiptSigner(privateKey: string, network: Network): ReceiptSigner {
  const key = privateKeyObject(privateKey)
  const publicKey = publicKeyOf(privateKey)
  const service = { network, service_key: publicKey.compressed, service_address: addressOf(publicKey, network) }
  return async ({ user_input, context, output, ...content }) => {
    const receipt: Receipt = {
      ...content,
      ...service,
      type: RECEIPT_TYPE,
      input_hash: await sha256InPool(user_input),
      context_hash: await sha256InPool(context),
      output_hash: await sha256InPool(output),
    }
    return { receipt, signature: await signInPool(key, canonicalJson(receipt)) }
  }
}

/** Whether the signature of a receipt is by the key that it names as that of the service. */
export const isSignedByService = ({ receipt, signature }: SignedReceipt): Promise<boolean> =>
  isSignedBy(receipt.service_key, canonicalJson(receipt), signature)

/** Whether the address that a receipt names is that of its `service_key`: compressed, or not, as wallets have either. */
export function isServiceAddress({ receipt }: SignedReceipt): boolean {
  const key = readKey(receipt.service_key)
  if (key === null) return false
  const forms = [key.compressed, uncompressed(key.compressed)]
  return forms.some((given) => addressOf({ ...key, given }, receipt.network) === receipt.service_address)
}

/** Whether the signature of a node is of the output, by the key of the node; null where there is none, or nothing to hold it against. */
export async function isSignedByNode({ receipt }: SignedReceipt): Promise<boolean | null> {
  const { node_signature, node_key, attempt, task_id, output_hash } = receipt
  if (node_signature === null || node_key === null || attempt === null) return null
  return isSignedBy(node_key, resultText(task_id, attempt, output_hash), node_signature)
}

const uncompressed = (key: string): string => ECDH.convertKey(key, 'secp256k1', 'hex', 'hex', 'uncompressed').toString()

async function isSignedBy(publicKey: string, text: string, signature: string): Promise<boolean> {
  const [key, compact] = [readKey(publicKey), parseCompact(signature)]
  return key !== null && compact !== null && (await verifyInPool(key.compressed, text, compact))
}
