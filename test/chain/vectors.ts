import { createPrivateKey, type KeyObject } from 'node:crypto'

/** A key of the public test vectors; nothing of worth is on it. */
export interface TestKey {
  /** 32 bytes in hex, as wallets write a key whose public one is compressed: with a trailing 01. */
  privateKey: string
  key: KeyObject
  publicKey: string
  mainnet: string
  testnet: string
}

const keyOf = (byte: string): Pick<TestKey, 'privateKey' | 'key'> => {
  const d = byte.repeat(32)
  // An EC private key in PKCS#8 around the 32 bytes, for the curve secp256k1.
  const der = Buffer.from(`303e020100301006072a8648ce3d020106052b8104000a042730250201010420${d}`, 'hex')
  return { privateKey: `${d}01`, key: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }) }
}

export const USER: TestKey = {
  ...keyOf('11'),
  publicKey: '034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa',
  mainnet: 'SP3Y74M5227FDVHREWPH773F5Y1W1ED8WXY3RAVG4',
  testnet: 'ST3Y74M5227FDVHREWPH773F5Y1W1ED8WXXVB0G1S',
}
/** The same key, not compressed. */
export const USER_UNCOMPRESSED = {
  publicKey:
    '044f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa385b6b1b8ead809ca67454d9683fcf2ba03456d6fe2c4abe2b07f0fbdbb2f1c1',
  mainnet: 'SP3JEA5ZE0YC4MG00SNXG1JYBAHCH3HA1RJZ4527Q',
  testnet: 'ST3JEA5ZE0YC4MG00SNXG1JYBAHCH3HA1RKF4S49Y',
}
export const NODE: TestKey = {
  ...keyOf('33'),
  publicKey: '023c72addb4fdf09af94f0c94d7fe92a386a7e70cf8a1d85916386bb2535c7b1b1',
  mainnet: 'SPXW53BDJBCGEFXNWEPZ90BSBTQM8TYEXN20S0F1',
  testnet: 'STXW53BDJBCGEFXNWEPZ90BSBTQM8TYEXQG3NP3K',
}
export const SIGNER: TestKey = {
  ...keyOf('44'),
  publicKey: '032c0b7cf95324a07d05398b240174dc0c2be444d96b159aa6c7f7b1e668680991',
  mainnet: 'SP361P1W3HRW7VTPD1S935RF8PJFMRAF4GJWVT4W9',
  testnet: 'ST361P1W3HRW7VTPD1S935RF8PJFMRAF4GJMPMQZN',
}

/** The other of the two signatures that say the same: n - s. */
export function otherS(compact: string): string {
  const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  return compact.slice(0, 64) + (n - BigInt(`0x${compact.slice(64, 128)}`)).toString(16).padStart(64, '0')
}

/** A hex text with one bit turned. */
export function flip(hex: string, bit: number): string {
  const bytes = Buffer.from(hex, 'hex')
  const at = (bit >> 3) % bytes.length
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
  return bytes.toString('hex')
}
