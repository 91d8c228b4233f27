import { createHash, createPublicKey, ECDH, verify } from 'node:crypto'

const COMPRESSED = /^(?:0x)?(0[23][0-9a-f]{64})$/i
const UNCOMPRESSED = /^(?:0x)?(04[0-9a-f]{128})$/i
const SIGNATURE = /^(?:0x)?([0-9a-f]{128})(?:[0-9a-f]{2})?$/i

/** What stands before the 33 bytes of a secp256k1 key in its SubjectPublicKeyInfo. To read a key so costs half of what a JWK does. */
const SPKI = '3036301006072a8648ce3d020106052b8104000a032200'

/** A secp256k1 public key as 33 compressed bytes in lower-case hex, or null when the text is none. */
export function normalizeKey(text: string): string | null {
  const hex = (COMPRESSED.exec(text) ?? UNCOMPRESSED.exec(text))?.[1]
  if (hex === undefined) return null
  try {
    return ECDH.convertKey(hex, 'secp256k1', 'hex', 'hex', 'compressed').toString()
  } catch {
    return null // the right shape, but no point of the curve
  }
}

/** The node_id that follows from a normalized key: nobody else can prove a key that it follows from. */
export const nodeIdOf = (key: string): string =>
  `node-${createHash('sha256').update(key, 'hex').digest('hex').slice(0, 16)}`

/** What a node signs to open a session. `host` is the authority it dialled, lower case, as in its Host header. */
export const helloText = (nodeId: string, host: string, nonce: string): string =>
  `inference-node.v1:${nodeId}:${host.toLowerCase()}:${nonce}`

/**
 * Whether `signature` (64 bytes compact, or 65 with the recovery byte last; hex; high or low S) is ECDSA over
 * secp256k1 of SHA-256 of `message` by `key` (a normalized key).
 */
export function verifySignature(key: string, message: string, signature: string): boolean {
  const compact = SIGNATURE.exec(signature)?.[1]
  if (compact === undefined) return false
  const publicKey = createPublicKey({ format: 'der', type: 'spki', key: Buffer.from(SPKI + key, 'hex') })
  return verify(
    'sha256',
    Buffer.from(message),
    { key: publicKey, dsaEncoding: 'ieee-p1363' },
    Buffer.from(compact, 'hex'),
  )
}
