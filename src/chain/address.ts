import { createHash } from 'node:crypto'
import type { PublicKey } from '../wire/keys.js'
import { decodeC32, encodeC32 } from './c32.js'

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

/** RIPEMD-160 of SHA-256 of bytes in hex; itself in lower-case hex. */
export function hash160(hex: string): string {
  return createHash('ripemd160').update(createHash('sha256').update(hex, 'hex').digest()).digest('hex')
}

/** The p2pkh address of a key. A compressed key and the same one uncompressed have different addresses. */
export const addressOf = ({ given }: PublicKey, network: Network): string =>
  encodeC32({ version: versionsOf(network).single, hash160: hash160(given) })

/** Of how many keys the hash in a transaction is, by its hash mode: one, or else. */
const P2PKH = 0

/**
 * The address that a transaction is signed by.
 * @param version of the transaction: its top bit is set on testnet
 * @param hashMode 0: of one key. All else counts as of several, also P2WPKH.
 * @param signer 20 bytes in hex
 */
export function originOf({ version, hashMode, signer }: { version: number; hashMode: number; signer: string }): string {
  const { single, multi } = versionsOf(version < 0x80 ? 'mainnet' : 'testnet')
  return encodeC32({ version: hashMode === P2PKH ? single : multi, hash160: signer })
}

/** The address whose contract holds the stakes of a network. */
export const bootAddressOf = (network: Network): string =>
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
