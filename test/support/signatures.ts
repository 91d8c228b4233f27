import { createHash, sign } from 'node:crypto'
import { addressOf } from '../../src/chain/address.js'
import { walletMessage } from '../../src/chain/wallet-message.js'
import { readKey } from '../../src/wire/keys.js'
import type { Identity } from './identity.js'

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/** A signature with the lower s, as nodes have to send it: 64 bytes in hex. */
export function signLow({ key }: Pick<Identity, 'key'>, message: string | Buffer): string {
  const bytes = sign('sha256', Buffer.from(message), { key, dsaEncoding: 'ieee-p1363' }).toString('hex')
  const s = BigInt(`0x${bytes.slice(64)}`)
  const low = s > ORDER / 2n ? ORDER - s : s
  return bytes.slice(0, 64) + low.toString(16).padStart(64, '0')
}

/** What a wallet answers to `stx_signMessage`. */
export const signMessage = (wallet: Identity, text: string): string => `${signLow(wallet, walletMessage(text))}00`

/** The address of a wallet on testnet. */
export function addressOfWallet({ publicKey }: Identity): string {
  const key = readKey(publicKey)
  if (key === null) throw new Error('no key')
  return addressOf(key, 'testnet')
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
export const seconds = (): number => Math.floor(Date.now() / 1000)
