import { createECDH, createPrivateKey, type KeyObject } from 'node:crypto'
import type { PublicKey } from '../wire/keys.js'

/** An EC private key in PKCS#8 for secp256k1, up to its 32 bytes. */
const PKCS8 = '303e020100301006072a8648ce3d020106052b8104000a042730250201010420'

const PRIVATE_KEY = /^(?:0x)?([0-9a-f]{64}(?:01)?)$/i

/** A private key of a wallet from hex, 32 bytes, or 33 with a trailing 01; lower case, without 0x. Null when the text is none. */
export function readPrivateKey(text: string): string | null {
  const hex = PRIVATE_KEY.exec(text)?.[1]?.toLowerCase()
  if (hex === undefined) return null
  try {
    publicKeyOf(hex)
    return hex
  } catch {
    return null // 0, or not below the order of the curve
  }
}

/** As node:crypto wants it. @param privateKey 32 bytes in hex, or 33 with a trailing 01 */
export const privateKeyObject = (privateKey: string): KeyObject =>
  createPrivateKey({ format: 'der', type: 'pkcs8', key: Buffer.from(PKCS8 + privateKey.slice(0, 64), 'hex') })

/**
 * Its public key, compressed where the private key says so by a trailing 01.
 * @throws where it is not a private key of secp256k1
 */
export function publicKeyOf(privateKey: string): PublicKey {
  const ecdh = createECDH('secp256k1')
  ecdh.setPrivateKey(privateKey.slice(0, 64), 'hex')
  const compressed = ecdh.getPublicKey('hex', 'compressed')
  return { compressed, given: privateKey.length > 64 ? compressed : ecdh.getPublicKey('hex', 'uncompressed') }
}
