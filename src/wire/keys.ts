import { createHash, createPublicKey, ECDH, sign, verify, type KeyObject } from 'node:crypto'

const COMPRESSED = /^(?:0x)?(0[23][0-9a-f]{64})$/i
const UNCOMPRESSED = /^(?:0x)?(04[0-9a-f]{128})$/i
const SIGNATURE = /^(?:0x)?([0-9a-f]{128})(?:[0-9a-f]{2})?$/i

/** What stands before the 33 bytes of a secp256k1 key in its SubjectPublicKeyInfo. To read a key so costs half of what a JWK does. */
const SPKI = '3036301006072a8648ce3d020106052b8104000a032200'

/** The order of secp256k1, and half of it: r and s are below the one, a low s is not above the other. */
const ORDER = Buffer.from('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141', 'hex')
const HALF_ORDER = Buffer.from('7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0', 'hex')

/** A key of secp256k1. */
export interface PublicKey {
  /** 33 bytes, lower-case hex. */
  compressed: string
  /** As it was given, 33 or 65 bytes, lower-case hex: an address follows from this form. */
  given: string
}

/** A secp256k1 public key, compressed or not, from hex with or without 0x; null when the text is none. */
export function readKey(text: string): PublicKey | null {
  const given = (COMPRESSED.exec(text) ?? UNCOMPRESSED.exec(text))?.[1]?.toLowerCase()
  if (given === undefined) return null
  try {
    return { given, compressed: ECDH.convertKey(given, 'secp256k1', 'hex', 'hex', 'compressed').toString() }
  } catch {
    return null // the right shape, but no point of the curve
  }
}

/** A secp256k1 public key as 33 compressed bytes in lower-case hex, or null when the text is none. */
export const normalizeKey = (text: string): string | null => readKey(text)?.compressed ?? null

/** The node_id that follows from a normalized key: nobody else can prove a key that it follows from. */
export const nodeIdOf = (key: string): string =>
  `node-${createHash('sha256').update(key, 'hex').digest('hex').slice(0, 16)}`

/** What a node signs to open a session. `host` is the authority it dialled, lower case, as in its Host header. */
export const helloText = (nodeId: string, host: string, nonce: string): string =>
  `inference-node.v1:${nodeId}:${host.toLowerCase()}:${nonce}`

/** What a node signs of a result: `outputHash` is SHA-256 of the output's UTF-8, 64 lower-case hex digits. */
export const resultText = (taskId: string, attempt: number, outputHash: string): string =>
  `inference-result.v1:${taskId}:${attempt}:${outputHash}`

/**
 * Whether `signature` (64 bytes compact, or 65 with the recovery byte last; hex; high or low S) is ECDSA over
 * secp256k1 of SHA-256 of `message` by `key` (a normalized key).
 */
export function verifySignature(key: string, message: string, signature: string): boolean {
  const compact = SIGNATURE.exec(signature)?.[1]
  if (compact === undefined) return false
  return verify(
    'sha256',
    Buffer.from(message),
    { key: prepareKey(key), dsaEncoding: 'ieee-p1363' },
    Buffer.from(compact, 'hex'),
  )
}

/** A signature on secp256k1 of which nothing is known but its form. */
export interface Signature {
  bytes: Buffer
  /** r and s of 32 bytes each, or as ASN.1 has them. */
  encoding: 'ieee-p1363' | 'der'
}

/** The r and s of a signature of 64 bytes, or of 65 with the recovery byte last, which says nothing that the key does not. Null when it is none. */
export function readCompact(bytes: Buffer): Signature | null {
  if (bytes.length !== 64 && bytes.length !== 65) return null
  const [r, s] = [bytes.subarray(0, 32), bytes.subarray(32, 64)]
  return r.compare(ORDER) < 0 && s.compare(ORDER) < 0 ? { bytes: bytes.subarray(0, 64), encoding: 'ieee-p1363' } : null
}

/** A DER signature, by its outer shape; what is inside is looked at when it is verified. Null when it is none. */
export function readDer(bytes: Buffer): Signature | null {
  const isSequence = bytes.length >= 8 && bytes.length <= 72 && bytes[0] === 0x30 && bytes[1] === bytes.length - 2
  return isSequence && bytes[2] === 0x02 ? { bytes, encoding: 'der' } : null
}

/** Whether of the two signatures that say the same this is the one with the low s. Of a compact one. */
export const hasLowS = ({ bytes }: Signature): boolean => bytes.subarray(32, 64).compare(HALF_ORDER) <= 0

/** The r and s of a compact signature in hex, 64 bytes, with the low one of the two s that say the same. */
export function lowS({ bytes }: Signature): string {
  const hex = bytes.toString('hex')
  const s = BigInt(`0x${hex.slice(64)}`)
  const order = BigInt(`0x${ORDER.toString('hex')}`)
  return hex.slice(0, 64) + (s > order / 2n ? order - s : s).toString(16).padStart(64, '0')
}

/** A signature from hex, with or without 0x: 64 bytes compact, or 65 with the recovery byte last. Null when it is none. */
export function parseCompact(text: string): Signature | null {
  const hex = SIGNATURE.exec(text)?.[1]
  return hex === undefined ? null : readCompact(Buffer.from(hex, 'hex'))
}

/**
 * Whether a signature is ECDSA over secp256k1 of SHA-256 of `message` by `key` (a normalized key). It is computed in the thread
 * pool: here it costs about 20 µs instead of 500.
 */
export function verifyInPool(key: string, message: string | Buffer, { bytes, encoding }: Signature): Promise<boolean> {
  const data = typeof message === 'string' ? Buffer.from(message) : message
  return new Promise((resolve, reject) => {
    verify('sha256', data, { key: prepareKey(key), dsaEncoding: encoding }, bytes, (error, ok) => {
      if (error === null) resolve(ok)
      else reject(error)
    })
  })
}

/** ECDSA over SHA-256 of a message, computed in the thread pool: 64 bytes compact with a low s, in hex. @param key of secp256k1 */
export function signInPool(key: KeyObject, message: string | Buffer): Promise<string> {
  const data = typeof message === 'string' ? Buffer.from(message) : message
  return new Promise((resolve, reject) => {
    sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, (error, bytes) => {
      if (error === null) resolve(lowS({ bytes, encoding: 'ieee-p1363' }))
      else reject(error)
    })
  })
}

/** To make a key ready costs a third of a verification, and the same nodes and users come again and again. About 2 KB each. */
const MAX_PREPARED = 4096
const prepared = new Map<string, KeyObject>()

/** A key as node:crypto wants it. @param key a normalized key */
export const toKeyObject = (key: string): KeyObject =>
  createPublicKey({ format: 'der', type: 'spki', key: Buffer.from(SPKI + key, 'hex') })

function prepareKey(key: string): KeyObject {
  const known = prepared.get(key)
  if (known !== undefined) return known
  const made = toKeyObject(key)
  const [oldest] = prepared.keys()
  if (prepared.size >= MAX_PREPARED && oldest !== undefined) prepared.delete(oldest)
  prepared.set(key, made)
  return made
}
