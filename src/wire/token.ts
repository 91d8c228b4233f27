import { createHash, randomInt, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** Who a token makes its bearer: admin, operator, user, viewer, metrics, node, and an invited node. */
export const tokenKinds = ['adm', 'opr', 'usr', 'viw', 'met', 'nod', 'inv'] as const
export type TokenKind = (typeof tokenKinds)[number]

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const ID_LENGTH = 8
/** 190 bits. */
const SECRET_LENGTH = 32
/** 32 bits. */
const CHECK_LENGTH = 6

/** `sis_<kind>_<id><secret><check>`: a scanner for leaked secrets knows it by its begin, and by its check that it is one. */
const TOKEN = new RegExp(
  `^(sis_(${tokenKinds.join('|')})_([0-9A-Za-z]{${ID_LENGTH}})[0-9A-Za-z]{${SECRET_LENGTH}})([0-9A-Za-z]{${CHECK_LENGTH}})$`,
)

/** What is public of a token. */
export interface TokenName {
  kind: TokenKind
  /** 8 digits of base 62. */
  id: string
}

export interface NewToken extends TokenName {
  /** The secret; to be shown once and kept nowhere. */
  token: string
  /** What is kept of it. */
  hash: string
}

/** A new token. */
export function makeToken(kind: TokenKind): NewToken {
  const id = randomDigits(ID_LENGTH)
  const begin = `sis_${kind}_${id}${randomDigits(SECRET_LENGTH)}`
  const token = begin + checkOf(begin)
  return { kind, id, token, hash: hashToken(token) }
}

/** The kind and id of a text that has the form of a token and its check; null of any other. Says nothing about whether it is known. */
export function parseToken(text: string): TokenName | null {
  const [, begin = '', kind, id = '', check] = TOKEN.exec(text) ?? []
  const known = tokenKinds.find((k) => k === kind)
  return known !== undefined && check === checkOf(begin) ? { kind: known, id } : null
}

/** SHA-256 of a whole token, lower-case hex. It needs no slow hash: what has 190 random bits cannot be guessed. */
export const hashToken = (token: string): string => createHash('sha256').update(token).digest('hex')

/** Whether two hashes of tokens are the same, in a time that does not say how much of them is. */
export function sameHash(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)]
  return x.length === y.length && timingSafeEqual(x, y)
}

/** randomInt draws again where a remainder would favour some digits. */
const randomDigits = (count: number): string =>
  Array.from({ length: count }, () => DIGITS.charAt(randomInt(DIGITS.length))).join('')

/** CRC-32, so that a mistyped token is known as such without asking a database. */
function checkOf(text: string): string {
  let rest = crc32(text)
  let digits = ''
  for (let i = 0; i < CHECK_LENGTH; i++) {
    digits = DIGITS.charAt(rest % DIGITS.length) + digits
    rest = Math.floor(rest / DIGITS.length)
  }
  return digits
}
