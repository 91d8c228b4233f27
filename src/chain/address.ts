import { ripemd160 } from '@noble/hashes/legacy.js'
import { createHash } from 'node:crypto'
import type { PublicKey } from '../wire/keys.js'
import { decodeC32, encodeC32, type Versioned } from './c32.js'

/** The networks of the configuration. A devnet has the addresses of testnet. */
export type Network = 'mainnet' | 'testnet' | 'devnet'

/** The version of an address: of one key (`single`), and of several (`multi`). */
const versions = {
  mainnet: { single: 22, multi: 20 },
  testnet: { single: 26, multi: 21 },
} as const
const KNOWN: ReadonlySet<number> = new Set(Object.values(versions).flatMap(({ single, multi }) => [single, multi]))
const SINGLE: ReadonlySet<number> = new Set(Object.values(versions).map(({ single }) => single))

const versionsOf = (network: Network) => versions[network === 'mainnet' ? 'mainnet' : 'testnet']

/** RIPEMD-160 of SHA-256 of bytes in hex; itself in lower-case hex. Not every build of OpenSSL has RIPEMD-160. */
export function hash160(hex: string): string {
  return Buffer.from(ripemd160(createHash('sha256').update(hex, 'hex').digest())).toString('hex')
}

/** The p2pkh principal of a key: what a node is paid to, on this network. */
export const principalOfKey = ({ given }: PublicKey, network: Network): Versioned => ({
  version: versionsOf(network).single,
  hash160: hash160(given),
})

/** The p2pkh address of a key. A compressed key and the same one uncompressed have different addresses. */
export const addressOf = (key: PublicKey, network: Network): string => encodeC32(principalOfKey(key, network))

/** The principal of whoever signs with this hash; `single` for one key by its own hash (P2PKH), `multi` for all else. */
export const principalOfHash = (hash160: string, kind: 'single' | 'multi', network: Network): Versioned => ({
  version: versionsOf(network)[kind],
  hash160,
})

/** The principal that an address of a user or contract owner, on whichever network, stands for; null when it is none. */
export function principalOf(address: string): Versioned | null {
  const decoded = decodeC32(address)
  return decoded !== null && KNOWN.has(decoded.version) ? decoded : null
}

/** The address that owns the contracts a network begins with. */
export const bootAddress = (network: Network): string =>
  encodeC32({ version: versionsOf(network).single, hash160: '00'.repeat(20) })

/** Whether a text is an address of a user or contract owner: SP or SM on mainnet, ST or SN on testnet, with its checksum. */
export function isAddress(text: string, network?: Network): boolean {
  const version = decodeC32(text)?.version
  if (version === undefined) return false
  if (network === undefined) return KNOWN.has(version)
  const { single, multi } = versionsOf(network)
  return version === single || version === multi
}

/** Whether an address is the p2pkh address of a key, on whichever network. */
export function isAddressOf(address: string, { given }: PublicKey): boolean {
  const decoded = decodeC32(address)
  return decoded !== null && SINGLE.has(decoded.version) && decoded.hash160 === hash160(given)
}
