import { createHash, webcrypto } from 'node:crypto'

/** What is longer is hashed in the thread pool: 128 KiB hold this thread for a tenth of a millisecond, 4 MiB for three. */
const POOL_FROM_BYTES = 128 * 1024

/** SHA-256 of a text's UTF-8, or of bytes, in lower-case hex. */
export const sha256 = (of: string | Uint8Array): string => createHash('sha256').update(of).digest('hex')

/** The same, beside this thread where it takes long. */
export async function sha256InPool(of: string | Uint8Array): Promise<string> {
  if (of.length < POOL_FROM_BYTES) return sha256(of)
  const bytes = typeof of === 'string' ? Buffer.from(of) : of
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex')
}
