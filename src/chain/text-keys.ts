import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, randomBytes, type KeyObject } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16

/**
 * The key that the keys of encrypted texts are stored under. It follows from the signer's, and opens nothing else.
 * @param privateKey as the configuration has checked it
 */
export const wrappingKey = (privateKey: string): KeyObject =>
  createSecretKey(
    Buffer.from(
      hkdfSync('sha256', Buffer.from(privateKey.slice(0, 64), 'hex'), '', 'keys of encrypted texts', KEY_BYTES),
    ),
  )

/** Keys as they are stored: base64 of iv, ciphertext and tag. */
export function wrapKeys(wrapping: KeyObject, keys: readonly Buffer[]): string {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(CIPHER, wrapping, iv)
  return Buffer.concat([iv, ...keys.map((key) => cipher.update(key)), cipher.final(), cipher.getAuthTag()]).toString(
    'base64',
  )
}

/** The keys again, in their order; null where they were wrapped under another key, or are damaged. */
export function unwrapKeys(wrapping: KeyObject, wrapped: string): Buffer[] | null {
  const bytes = Buffer.from(wrapped, 'base64')
  const end = bytes.length - TAG_BYTES
  if (end < IV_BYTES) return null
  const decipher = createDecipheriv(CIPHER, wrapping, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAuthTag(bytes.subarray(end))
  const keys = decipher.update(bytes.subarray(IV_BYTES, end))
  try {
    decipher.final()
  } catch {
    return null // the caller says what it means
  }
  return Array.from({ length: keys.length / KEY_BYTES }, (_, i) => keys.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES))
}
