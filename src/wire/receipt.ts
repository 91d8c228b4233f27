import * as v from 'valibot'

/** What a receipt is called, and so what its signature is about. */
export const RECEIPT_TYPE = 'inference-receipt.v1'

const hex = (bytes: number) => v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`)))
const integer = v.pipe(v.number(), v.safeInteger())

const entries = {
  type: v.literal(RECEIPT_TYPE),
  task_id: v.string(),
  model_name: v.string(),
  /** SHA-256 of the UTF-8 of what was submitted as `user_input` and `context`, and of the output. */
  input_hash: hex(32),
  context_hash: hex(32),
  output_hash: hex(32),
  /** Whether what was submitted is encrypted. */
  encrypted: v.boolean(),
  node_id: v.nullable(v.string()),
  node_key: v.nullable(hex(33)),
  node_key_proven: v.boolean(),
  node_signature: v.nullable(hex(64)),
  attempt: v.nullable(integer),
  created_at: integer,
  assigned_at: v.nullable(integer),
  accepted_at: v.nullable(integer),
  completed_at: v.nullable(integer),
  fee: integer,
  infer_fee: integer,
  txid: v.nullable(v.string()),
  payee: v.nullable(v.string()),
  network: v.picklist(['mainnet', 'testnet', 'devnet']),
  service_key: hex(33),
  service_address: v.string(),
}
/** A receipt: every value is a text, an integer, true, false or null. */
export type Receipt = v.InferOutput<v.ObjectSchema<typeof entries, undefined>>

/** A receipt with the signature of the service. What a later version says besides is signed too, and stays as it is. */
export const signedReceipt = v.object({
  receipt: v.objectWithRest(entries, v.union([v.string(), integer, v.boolean(), v.null()])),
  /** ECDSA over secp256k1 of SHA-256 of the canonical JSON of `receipt`: 64 bytes compact, hex. */
  signature: hex(64),
})
export type SignedReceipt = v.InferOutput<typeof signedReceipt>
