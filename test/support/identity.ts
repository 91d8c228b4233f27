import { createHash, createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'

export interface Identity {
  key: KeyObject
  publicKey: string
}

/** A secp256k1 key pair; the same for the same name. */
export function identity(name: string = crypto.randomUUID()): Identity {
  const d = createHash('sha256').update(name).digest()
  // An EC private key in PKCS#8 around the 32 bytes, for the curve secp256k1.
  const der = Buffer.concat([Buffer.from('303e020100301006072a8648ce3d020106052b8104000a042730250201010420', 'hex'), d])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  const odd = (Buffer.from(y, 'base64url')[31] ?? 0) & 1
  return { key, publicKey: Buffer.concat([Buffer.from([odd ? 3 : 2]), Buffer.from(x, 'base64url')]).toString('hex') }
}

/** Another curve's key, to be refused. */
export const foreignKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

export const signText = (key: KeyObject, text: string): string =>
  sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('hex')
