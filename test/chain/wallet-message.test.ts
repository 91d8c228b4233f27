import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { challengeText, verifyWallet, walletMessage } from '../../src/chain/wallet-message.js'
import { flip, NODE, otherS, USER, USER_UNCOMPRESSED } from './vectors.js'

// Signed with @stacks/encryption and @stacks/transactions 7.6.0, as wallets do: hashMessage, then signMessageHashRsv.
const signed: [name: string, text: string, hash: string, signature: string][] = [
  [
    'a short text',
    'hello',
    'aa05ed72547a69b7ef32901df165f92bb23922adbdd00558e9a8264f53d20889',
    '5d652f3f9af4558562e012f436709b9f16b87ca5ae94d065956f53691c69f671766f8dc1be47077350fd7635993d2292b67459f58ae0df760ccb1dd504616c1d01',
  ],
  [
    'the longest text whose length is one byte',
    'a'.repeat(252),
    'fc62bf43ef5a5ba245f748be68e9cd7449be877042ae3c3b915c2eb40e60ff60',
    '1a46ff70446488bbcfd4ffeaf369ef1d21d57ece4653416f29fb0b98fdcb05066f762984e9a5f96631aafe49fa39f89315919d6214f11c392400d68d46b17a7500',
  ],
  [
    'the shortest whose length is three bytes',
    'b'.repeat(253),
    '3ad25d1994452fca913fe1a39f84937b26992c5bad96f8c8682179887d1f7c4e',
    'd954efa18012f34fce493594ca83f69a21777007a9a0725f4d4a13a1a6a4b07b017a2ff1288dd32fd0645ec1d42b80602e2008c13fb3a34113b540064e63adfb01',
  ],
  [
    'a text whose bytes are more than its characters',
    '你好，世界 🌍'.repeat(20),
    '9421b6407d35d60a42a661827fe0e723026b7e3d7693e9a0a77e8446b08bfc27',
    'a4dafbf54fe616bb355ff6976c03ebbf0342a6e462e7fe89cc642215934ddd9266c26f3ea1dcc2e1b4c33c1d78aa87d10f287d6604cf5f96fef6617cca4d663300',
  ],
  [
    'a text whose length is five bytes',
    'c'.repeat(70_000),
    '7f79fe2e691b07a88ac7bc58ed73d5c2cb9af4d3507081bd5c3db7c819cf7659',
    '24b89f2574f1019c560b51043e4e44d228fd19591181c8a0b71a03db6ac183bb29bf31749d38790c9a36545dc28570e844362b970027ad5c5c419a8519a37a5101',
  ],
  [
    'an empty text',
    '',
    '89da565bd5b575c8d3b4370ce0b5965eb43e51d4434680cfe72c9420f8e790b4',
    'ef207e95ccbb0b1e555a7dd067f1a3d84da6701f55c7b8399b7589cb48efc3e33ddb72f4078aa2ce6e5f58070126832ccee37c59b76310d3af71fc3ad05eca3a01',
  ],
]
const [[, text, , signature] = ['', '', '', '']] = signed
const proof = { text, address: USER.testnet, public_key: USER.publicKey, signature }
const verify = (change: Partial<typeof proof> = {}) => verifyWallet({ ...proof, ...change }, 'testnet')

test.each(signed)('%s that a wallet signed is the wallet’s', async (_, text, hash, signature) => {
  expect(createHash('sha256').update(walletMessage(text)).digest('hex')).toBe(hash)
  expect(await verify({ text, signature })).toEqual({ ok: true, value: USER.testnet })
})

test('a signature is taken with 0x, without V, with high S, and of a key that is not compressed', async () => {
  const ok = { ok: true, value: USER.testnet }
  expect(await verify({ signature: `0x${signature.toUpperCase()}` })).toEqual(ok)
  expect(await verify({ signature: signature.slice(0, 128) })).toEqual(ok)
  expect(await verify({ signature: otherS(signature) })).toEqual(ok)
  const { publicKey, testnet } = USER_UNCOMPRESSED
  expect(await verify({ public_key: publicKey, address: testnet })).toEqual({ ok: true, value: testnet })
})

test('the address must be of the network that is configured', async () => {
  expect(await verifyWallet({ ...proof, address: USER.mainnet }, 'mainnet')).toMatchObject({ ok: true })
  expect(await verifyWallet(proof, 'devnet')).toMatchObject({ ok: true })
  expect(await verifyWallet(proof, 'mainnet')).toEqual({
    ok: false,
    code: 'unauthorized',
    message: `public_key: its address on mainnet is ${USER.mainnet}; sign with the key of ${USER.testnet}`,
  })
})

const NO_SIGNATURE = 'signature: must be that of stx_signMessage: R, S and V, 65 bytes in hex'
const NOT_SIGNED = 'signature: is not of this text by this key; sign the text of the challenge as it is'
test.each([
  [{ public_key: '' }, 'invalid_request', 'public_key: must be a secp256k1 key in hex, of 33 bytes or of 65'],
  [{ signature: '' }, 'invalid_request', NO_SIGNATURE],
  [{ signature: signature.slice(0, 126) }, 'invalid_request', NO_SIGNATURE],
  [{ signature: `${signature}00` }, 'invalid_request', NO_SIGNATURE],
  [{ signature: 'ff'.repeat(65) }, 'invalid_request', NO_SIGNATURE],
  [{ signature: `01${signature.slice(0, 128)}` }, 'unauthorized', NOT_SIGNED],
  [{ text: 'hello ' }, 'unauthorized', NOT_SIGNED],
  [{ public_key: NODE.publicKey, address: NODE.testnet }, 'unauthorized', NOT_SIGNED],
  [
    { public_key: USER_UNCOMPRESSED.publicKey },
    'unauthorized',
    `public_key: its address on testnet is ${USER_UNCOMPRESSED.testnet}; sign with the key of ${USER.testnet}`,
  ],
])('%j is refused as %s: %s', async (change, code, message) => {
  expect(await verify(change)).toEqual({ ok: false, code, message })
})

test('any bit turned is refused, and nothing throws', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(511), async (bit) => {
      expect((await verify({ signature: flip(signature.slice(0, 128), bit) })).ok).toBe(false)
      expect((await verify({ public_key: flip(USER.publicKey, bit) })).ok).toBe(false)
    }),
    { numRuns: 150 },
  )
})

test('no proof of any shape is anything but taken or refused', async () => {
  const any = fc.string({ unit: 'binary', maxLength: 140 })
  await fc.assert(
    fc.asyncProperty(any, any, any, any, async (text, address, public_key, signature) => {
      for (const p of [
        { text, address, public_key, signature },
        { ...proof, signature },
        { ...proof, public_key },
      ])
        expect((await verifyWallet(p, 'testnet')).ok).toBe(false)
    }),
    { numRuns: 500 },
  )
})

test('a challenge says for whom, who, where, until when, and has a number of its own', () => {
  const issuedAt = Date.UTC(2026, 0, 1)
  expect(
    challengeText({
      domain: 'inference.example.org',
      address: USER.testnet,
      network: 'testnet',
      nonce: 'f00d',
      issuedAt,
      expiresAt: issuedAt + 300_000,
    }),
  ).toBe(
    [
      'inference.example.org wants you to sign in with your Stacks account:',
      'ST3Y74M5227FDVHREWPH773F5Y1W1ED8WXXVB0G1S',
      '',
      'Signing in costs nothing and moves nothing.',
      '',
      'Network: testnet',
      'Nonce: f00d',
      'Issued At: 2026-01-01T00:00:00.000Z',
      'Expiration Time: 2026-01-01T00:05:00.000Z',
    ].join('\n'),
  )
})
