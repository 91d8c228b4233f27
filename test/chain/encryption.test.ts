import { createCipheriv, createECDH, createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSigner, encrypt, placeholderOf } from '../../src/chain/encryption.js'
import { flip, NODE, SIGNER, USER, USER_UNCOMPRESSED } from './vectors.js'

// As today's client encrypts.
const E1 =
  '{"signer_public_key":"032c0b7cf95324a07d05398b240174dc0c2be444d96b159aa6c7f7b1e668680991","ephemeral_public_key":"02b6332d480beee2efa59e01b5d579cda1c5415e74efc42e03c7982e8d8c9836b8","ciphertext":"348cb765e220709ae15fe1120ddc2ca82cba912d3d3df89759648321122e2906","nonce":"e0050425b6a5e28cd4b0086d"}'
const E3 =
  '{"signer_public_key":"032c0b7cf95324a07d05398b240174dc0c2be444d96b159aa6c7f7b1e668680991","ephemeral_public_key":"025f5d5c8acd2caf8a5b0d50420a21c0a4d494ba81c9f8def41d776cd38e65250e","ciphertext":"7a0afd5ac81d1ba44097700995ec7458","nonce":"35437acd85d39e575e0dd8ed"}'
type Fields = Record<'signer_public_key' | 'ephemeral_public_key' | 'ciphertext' | 'nonce', string>
const fields = JSON.parse(E1) as Fields
const signer = createSigner(SIGNER.privateKey, 'testnet')
const decrypt = (text: string) => signer.decrypt('user_input', text)
const withFields = (change: Record<string, unknown>): string => JSON.stringify({ ...fields, ...change })
const refused = (message: string) => ({ ok: false, code: 'invalid_request', message })
const done = (value: string) => ({ ok: true, value })

test('what today’s client encrypted is decrypted, an empty text too, as often as it is asked for', () => {
  for (const _ of [1, 2]) {
    expect(decrypt(E1)).toEqual(done('What is a lease?'))
    expect(decrypt(E3)).toEqual(done(''))
  }
  expect(createSigner(SIGNER.privateKey.slice(0, 64), 'mainnet').decrypt('context', E1)).toEqual(
    done('What is a lease?'),
  )
})

test('a signature beside it, capital letters in it and blanks around it change nothing', () => {
  const upper = Object.fromEntries(Object.entries(fields).map(([k, s]) => [k, s.toUpperCase()]))
  expect(decrypt(withFields({ signature: '00'.repeat(65), more: [1] }))).toEqual(done('What is a lease?'))
  expect(decrypt(withFields(upper))).toEqual(done('What is a lease?'))
  expect(decrypt(`\n ${JSON.stringify(fields, null, 2)} `)).toEqual(done('What is a lease?'))
})

test('the placeholder in a transaction is of the text exactly as it was sent', () => {
  expect(placeholderOf(E1)).toBe('enc:480cfc64504b937d')
  expect(placeholderOf(E3)).toBe('enc:0db58042e31a6d9d')
  expect(placeholderOf(`${E1} `)).not.toBe(placeholderOf(E1))
})

test('the public key and address of a signer are those of its private key', () => {
  const of = (key: string, network: 'mainnet' | 'testnet' | 'devnet') => {
    const { publicKey, address } = createSigner(key, network)
    return { publicKey, address }
  }
  expect(of(SIGNER.privateKey, 'testnet')).toEqual({ publicKey: SIGNER.publicKey, address: SIGNER.testnet })
  expect(of(SIGNER.privateKey, 'mainnet')).toEqual({ publicKey: SIGNER.publicKey, address: SIGNER.mainnet })
  expect(of(SIGNER.privateKey.toUpperCase(), 'devnet').address).toBe(SIGNER.testnet)
  // Without the 01 wallets have the address of the uncompressed key; clients encrypt for the compressed one all the same.
  expect(of(USER.privateKey.slice(0, 64), 'testnet')).toEqual({
    publicKey: USER.publicKey,
    address: USER_UNCOMPRESSED.testnet,
  })
  expect(() => createSigner('00'.repeat(32), 'testnet')).toThrow()
})

const FORM =
  'user_input: must be an encrypted text, since is_encrypted is true: JSON with signer_public_key, ephemeral_public_key, ciphertext and nonce'
const DAMAGED = 'user_input: ciphertext: cannot be decrypted; it is for another key, or was changed on its way'
test.each([
  ['', FORM],
  ['What is a lease?', FORM],
  ['null', FORM],
  ['"text"', FORM],
  [E1.slice(0, -1), FORM],
  [`${E1}${E1}`, FORM],
  ['['.repeat(100_000), FORM],
  ['{}', 'user_input: signer_public_key: is missing'],
  [
    withFields({ signer_public_key: NODE.publicKey }),
    'user_input: signer_public_key: is not the key of this service; encrypt for the one that GET /api/v1/encryption/public-key tells',
  ],
  [
    withFields({ signer_public_key: `0x${SIGNER.publicKey}` }),
    'user_input: signer_public_key: must be a compressed key: 33 bytes in hex, without 0x',
  ],
  [
    withFields({ ephemeral_public_key: USER_UNCOMPRESSED.publicKey }),
    'user_input: ephemeral_public_key: must be a compressed key: 33 bytes in hex, without 0x',
  ],
  [
    withFields({ ephemeral_public_key: `02${'ff'.repeat(32)}` }),
    'user_input: ephemeral_public_key: is no point of secp256k1',
  ],
  [withFields({ ephemeral_public_key: '00'.repeat(33) }), 'user_input: ephemeral_public_key: is no point of secp256k1'],
  [withFields({ nonce: '00'.repeat(11) }), 'user_input: nonce: must be a nonce: 12 bytes in hex, without 0x'],
  [withFields({ nonce: '00'.repeat(16) }), 'user_input: nonce: must be a nonce: 12 bytes in hex, without 0x'],
  [withFields({ nonce: 'zz'.repeat(12) }), 'user_input: nonce: must be a nonce: 12 bytes in hex, without 0x'],
  [withFields({ nonce: 12 }), 'user_input: nonce: must be a nonce: 12 bytes in hex, without 0x'],
  [withFields({ nonce: undefined }), 'user_input: nonce: is missing'],
  ...['', '00'.repeat(15), '0'.repeat(33), 'zz'.repeat(16), `${'00'.repeat(16)}\n`].map((ciphertext) => [
    withFields({ ciphertext }),
    'user_input: ciphertext: must be in hex, without 0x: the encrypted bytes and 16 of their tag',
  ]),
  [withFields({ ciphertext: '00'.repeat(16) }), DAMAGED],
  [withFields({ ephemeral_public_key: USER.publicKey }), DAMAGED],
])('%.70s is refused: %s', (text, message) => {
  expect(decrypt(text)).toEqual(refused(message))
})

test('a field is named as the caller names it', () => {
  expect(signer.decrypt('context', 'x')).toMatchObject({ message: FORM.replace('user_input', 'context') })
})

test('what is encrypted must be valid UTF-8; a byte order mark in it is kept', () => {
  expect(decrypt(encryptBytes(Buffer.from('c328', 'hex')))).toEqual(
    refused('user_input: ciphertext: what is encrypted is not valid UTF-8'),
  )
  expect(decrypt(encryptBytes(Buffer.from('efbbbf61', 'hex')))).toEqual(done('\ufeffa'))
})

test('every text comes back from its encryption, also after many others', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
      const sent = encrypt(text, SIGNER.publicKey)
      expect(decrypt(sent)).toEqual(done(text))
      expect(createSigner(NODE.privateKey, 'testnet').decrypt('user_input', sent).ok).toBe(false)
    }),
    { numRuns: 100 },
  )
  expect(decrypt(E1)).toEqual(done('What is a lease?'))
  const long = '很长的文本 '.repeat(100_000)
  expect(decrypt(encrypt(long, SIGNER.publicKey))).toEqual(done(long))
})

test('a text that was encrypted twice differs in its key, its nonce and its bytes', () => {
  const [a, b] = [1, 2].map(() => JSON.parse(encrypt('same', SIGNER.publicKey)) as Fields)
  expect(a?.ephemeral_public_key).not.toBe(b?.ephemeral_public_key)
  expect(a?.nonce).not.toBe(b?.nonce)
  expect(a?.ciphertext).not.toBe(b?.ciphertext)
})

test('an encrypted text with any bit turned is refused, and nothing throws', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('ephemeral_public_key', 'ciphertext', 'nonce', 'signer_public_key'),
      fc.nat(511),
      (name, bit) => {
        // A point and its opposite have the same x, and only that makes the key.
        fc.pre(name !== 'ephemeral_public_key' || bit % 264 !== 0)
        expect(decrypt(withFields({ [name]: flip(fields[name], bit) }))).toMatchObject({
          ok: false,
          code: 'invalid_request',
        })
      },
    ),
    { numRuns: 500 },
  )
})

test('no text of any shape is anything but decrypted or refused', () => {
  const odd = fc.record({
    signer_public_key: fc.oneof(fc.constant(SIGNER.publicKey), fc.anything()),
    ephemeral_public_key: fc.oneof(fc.constant(USER.publicKey), fc.anything()),
    ciphertext: fc.oneof(fc.constant('00'.repeat(20)), fc.anything()),
    nonce: fc.oneof(fc.constant('00'.repeat(12)), fc.anything()),
  })
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    odd.map((o) => JSON.stringify(o, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))),
  )
  fc.assert(
    fc.property(text, (text) => {
      expect(decrypt(text)).toMatchObject({ ok: false, code: 'invalid_request' })
    }),
    { numRuns: 1000 },
  )
})

/** Any bytes for the signer, encrypted by other means than the code that is tested. */
function encryptBytes(plain: Buffer): string {
  const ephemeral = createECDH('secp256k1')
  const ephemeral_public_key = ephemeral.generateKeys('hex', 'compressed')
  const key = createHash('sha256').update(ephemeral.computeSecret(SIGNER.publicKey, 'hex')).digest()
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('hex')
  return withFields({ ephemeral_public_key, ciphertext, nonce: nonce.toString('hex') })
}
