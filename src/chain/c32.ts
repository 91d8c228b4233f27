import { createHash } from 'node:crypto'

/** Crockford's base 32: without I, L, O and U. */
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const HASH_BYTES = 20
const CHECKSUM_BYTES = 4
const BYTES = HASH_BYTES + CHECKSUM_BYTES
/** After the version: one digit for each byte that is zero at the begin, and the rest as one number of 5 bits a digit. */
const TEXT = new RegExp(`^S([${DIGITS}])(0*)([${DIGITS}]*)$`)
const MAX_LENGTH = 2 + Math.ceil((BYTES * 8) / 5)

/** What a c32check text stands for. */
export interface Versioned {
  /** 0 to 31: network and kind of the address. */
  version: number
  /** 20 bytes in lower-case hex. */
  hash160: string
}

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()
const checksum = (version: number, hash: Buffer): Buffer =>
  sha256(sha256(Buffer.concat([Buffer.from([version]), hash]))).subarray(0, CHECKSUM_BYTES)

/** A version and a hash as the chain prints them: `S`, the version, the hash with its checksum. */
export function encodeC32({ version, hash160 }: Versioned): string {
  const hash = Buffer.from(hash160, 'hex')
  const hex = Buffer.concat([hash, checksum(version, hash)]).toString('hex')
  const zeros = (/^(?:00)*/.exec(hex)?.[0].length ?? 0) / 2
  const number = BigInt(`0x${hex}`)
  const digits = number === 0n ? '' : number.toString(32).replace(/./g, (digit) => digitAt(parseInt(digit, 32)))
  return `S${digitAt(version)}${'0'.repeat(zeros)}${digits}`
}

/**
 * The version and hash of a c32check text; null when it is none. Only the one form that is printed is taken: an address that is
 * compared as text must have no other spelling, such as lower case or O for 0.
 */
export function decodeC32(text: string): Versioned | null {
  const [, version = '', zeros = '', digits = ''] = (text.length <= MAX_LENGTH ? TEXT.exec(text) : null) ?? []
  if (version === '' || zeros.length > BYTES) return null
  const bits = digits.replace(/./g, (digit) => DIGITS.indexOf(digit).toString(2).padStart(5, '0'))
  const rest = digits === '' ? '' : BigInt(`0b${bits}`).toString(16)
  const bytes = Buffer.from('00'.repeat(zeros.length) + rest.padStart(Math.ceil(rest.length / 2) * 2, '0'), 'hex')
  if (bytes.length !== BYTES) return null
  const hash = bytes.subarray(0, HASH_BYTES)
  const at = DIGITS.indexOf(version)
  return checksum(at, hash).equals(bytes.subarray(HASH_BYTES)) ? { version: at, hash160: hash.toString('hex') } : null
}

const digitAt = (value: number): string => DIGITS.charAt(value)
