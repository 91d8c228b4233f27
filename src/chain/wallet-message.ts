import { done, refuse, type Outcome } from '../lib/result.js'
import { readCompact, readKey, verifyInPool } from '../wire/keys.js'
import { addressOf, type Network } from './address.js'

/** What a wallet is asked to sign, to show that an address is its own. Times in ms since 1970. */
export interface Challenge {
  /** The name under which the service is reached, so that a signature is of no use to another service. */
  domain: string
  address: string
  network: Network
  /** Of this challenge alone. */
  nonce: string
  issuedAt: number
  expiresAt: number
}

/** The text of a challenge, as the wallet shows it. */
export const challengeText = ({ domain, address, network, nonce, issuedAt, expiresAt }: Challenge): string =>
  [
    `${domain} wants you to sign in with your Stacks account:`,
    address,
    '',
    'Signing in costs nothing and moves nothing.',
    '',
    `Network: ${network}`,
    `Nonce: ${nonce}`,
    `Issued At: ${new Date(issuedAt).toISOString()}`,
    `Expiration Time: ${new Date(expiresAt).toISOString()}`,
  ].join('\n')

const PREFIX = Buffer.from('\x17Stacks Signed Message:\n')

/** What a wallet signs the SHA-256 of for `stx_signMessage`: a prefix, the length in bytes as Bitcoin writes it, and the text. */
export function walletMessage(text: string): Buffer {
  const message = Buffer.from(text)
  return Buffer.concat([PREFIX, varint(message.length), message])
}

/** @param n 0 to 2^32 - 1 */
function varint(n: number): Buffer {
  if (n < 0xfd) return Buffer.from([n])
  const long = n > 0xffff
  const bytes = Buffer.alloc(long ? 5 : 3)
  bytes.writeUInt8(long ? 0xfe : 0xfd)
  if (long) bytes.writeUInt32LE(n, 1)
  else bytes.writeUInt16LE(n, 1)
  return bytes
}

/** What a wallet answers to `stx_signMessage`, and the address that was challenged. */
export interface WalletProof {
  text: string
  address: string
  public_key: string
  /** Hex: R, S and V, 65 bytes; V says nothing that the key does not. */
  signature: string
}

const SIGNATURE = /^(?:0x)?((?:[0-9a-f]{2}){64,65})$/i

/** Whether the address is that of the key on this network, and the key has signed the text; the address, then. */
export async function verifyWallet(
  { text, address, public_key, signature }: WalletProof,
  network: Network,
): Promise<Outcome<string>> {
  const key = readKey(public_key)
  if (key === null) return refuse('invalid_request', 'public_key: must be a secp256k1 key in hex, of 33 bytes or of 65')
  const hex = SIGNATURE.exec(signature)?.[1]
  const compact = hex === undefined ? null : readCompact(Buffer.from(hex, 'hex'))
  if (compact === null)
    return refuse('invalid_request', 'signature: must be that of stx_signMessage: R, S and V, 65 bytes in hex')
  const own = addressOf(key, network)
  if (own !== address)
    return refuse('unauthorized', `public_key: its address on ${network} is ${own}; sign with the key of ${address}`)
  return (await verifyInPool(key.compressed, walletMessage(text), compact))
    ? done(address)
    : refuse('unauthorized', 'signature: is not of this text by this key; sign the text of the challenge as it is')
}
