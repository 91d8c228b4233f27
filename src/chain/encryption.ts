import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  diffieHellman,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import * as v from 'valibot'
import { done, refuse, type Outcome, type Refusal } from '../lib/result.js'
import { explain } from '../wire/fields.js'
import { normalizeKey, toKeyObject } from '../wire/keys.js'
import { addressOf, type Network } from './address.js'
import { privateKeyObject, publicKeyOf } from './private-key.js'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

const bytes = (count: number, what: string) => {
  const expected = `must be ${what}: ${count} bytes in hex, without 0x`
  return v.pipe(v.string(expected), v.regex(new RegExp(`^[0-9a-f]{${count * 2}}$`, 'i'), expected))
}
const CIPHERTEXT = `must be in hex, without 0x: the encrypted bytes and ${TAG_BYTES} of their tag`

/** A text as a client encrypted it. What else it says, such as a signature, is not looked at. */
const encryptedText = v.object(
  {
    signer_public_key: bytes(33, 'a compressed key'),
    ephemeral_public_key: bytes(33, 'a compressed key'),
    ciphertext: v.pipe(
      v.string(CIPHERTEXT),
      v.check((s) => s.length >= TAG_BYTES * 2 && s.length % 2 === 0 && !/[^0-9a-f]/i.test(s), CIPHERTEXT),
    ),
    nonce: bytes(NONCE_BYTES, 'a nonce'),
  },
  'must be a JSON object',
)
const FORM =
  'must be an encrypted text, since is_encrypted is true: JSON with signer_public_key, ephemeral_public_key, ciphertext and nonce'

/** The keys of ephemeral keys that came before: a text is decrypted when it is submitted, and again for each node and each answer. */
const MAX_KNOWN_KEYS = 1024

/** The coordinator's own key, as far as clients encrypt for it. */
export interface Signer {
  /** What clients encrypt for: 33 bytes, lower-case hex. */
  publicKey: string
  /** Of the configured network. Of a private key without the trailing 01 it is that of the uncompressed key, as in wallets. */
  address: string
  /**
   * The plain text of an encrypted one. The caller bounds its size. A new ephemeral key costs about 1 ms, a known one microseconds.
   * @param field the name that a refusal begins with
   */
  decrypt(field: string, text: string): Outcome<string>
  /** The same, with the key that opens this text alone: for `openText`, at another time. */
  read(field: string, text: string): Outcome<{ text: string; key: Buffer }>
}

/**
 * @param privateKey 32 bytes in hex, or 33 with a trailing 01, as the configuration has checked it
 * @throws where it is not a private key of secp256k1
 */
export function createSigner(privateKey: string, network: Network): Signer {
  const own = privateKeyObject(privateKey)
  const publicKey = publicKeyOf(privateKey)
  const known = new Map<string, Buffer>()

  /** null where it is no point of the curve. */
  const keyFor = (ephemeral: string): Buffer | null => {
    const found = known.get(ephemeral)
    if (found !== undefined) return found
    if (normalizeKey(ephemeral) === null) return null
    const key = sharedKey(own, ephemeral)
    const [oldest] = known.keys()
    if (known.size >= MAX_KNOWN_KEYS && oldest !== undefined) known.delete(oldest)
    known.set(ephemeral, key)
    return key
  }

  const read: Signer['read'] = (field, text) => {
    const no = (what: string): Refusal => refuse('invalid_request', `${field}: ${what}`)
    const parsed = v.safeParse(encryptedText, parseJson(text), { abortEarly: true })
    if (!parsed.success) return no(v.getDotPath(parsed.issues[0]) === null ? FORM : explain(parsed.issues))
    const { signer_public_key, ephemeral_public_key, ciphertext, nonce } = parsed.output
    if (signer_public_key.toLowerCase() !== publicKey.compressed) {
      return no(
        'signer_public_key: is not the key of this service; encrypt for the one that GET /api/v1/encryption/public-key tells',
      )
    }
    const key = keyFor(ephemeral_public_key.toLowerCase())
    if (key === null) return no('ephemeral_public_key: is no point of secp256k1')
    const plain = unseal(key, Buffer.from(nonce, 'hex'), Buffer.from(ciphertext, 'hex'))
    if (plain === null) return no('ciphertext: cannot be decrypted; it is for another key, or was changed on its way')
    try {
      return done({ text: utf8.decode(plain), key })
    } catch {
      return no('ciphertext: what is encrypted is not valid UTF-8')
    }
  }

  return {
    publicKey: publicKey.compressed,
    address: addressOf(publicKey, network),
    decrypt(field, text) {
      const outcome = read(field, text)
      return outcome.ok ? done(outcome.value.text) : outcome
    },
    read,
  }
}

/** An encrypted text under its own key, as `read` gave it; null where it is not that of this text. */
export function openText(key: Buffer, text: string): string | null {
  const parsed = v.safeParse(encryptedText, parseJson(text), { abortEarly: true })
  if (!parsed.success) return null
  const plain = unseal(key, Buffer.from(parsed.output.nonce, 'hex'), Buffer.from(parsed.output.ciphertext, 'hex'))
  return plain === null ? null : plain.toString('utf8')
}

/**
 * Encrypts a text for a signer, as its clients do: the JSON text that goes into `user_input` and `context`.
 * @param signerPublicKey a normalized key
 */
export function encrypt(plain: string, signerPublicKey: string): string {
  const ephemeral = createECDH('secp256k1')
  const ephemeral_public_key = ephemeral.generateKeys('hex', 'compressed')
  const own = privateKeyObject(ephemeral.getPrivateKey('hex').padStart(64, '0'))
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, sharedKey(own, signerPublicKey), nonce)
  const ciphertext = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return JSON.stringify({
    signer_public_key: signerPublicKey,
    ephemeral_public_key,
    ciphertext: ciphertext.toString('hex'),
    nonce: nonce.toString('hex'),
  })
}

/** What stands for an encrypted text in a signed transaction: of the JSON text exactly as it is sent. */
export const placeholderOf = (text: string): string =>
  `enc:${createHash('sha256').update(text).digest('hex').slice(0, 16)}`

// Fatal: an invalid byte is refused, never replaced. A byte order mark is part of the text.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @param publicKey a normalized key */
const sharedKey = (privateKey: KeyObject, publicKey: string): Buffer =>
  createHash('sha256')
    .update(diffieHellman({ privateKey, publicKey: toKeyObject(publicKey) }))
    .digest()

/** null where the tag does not fit. */
function unseal(key: Buffer, nonce: Buffer, sealed: Buffer): Buffer | null {
  const end = sealed.length - TAG_BYTES
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAuthTag(sealed.subarray(end))
  const plain = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
    return plain
  } catch {
    return null // the caller says what it means
  }
}

/** undefined where it is no JSON: the schema says what is expected. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
