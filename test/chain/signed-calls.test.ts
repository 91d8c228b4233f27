import { sign, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import {
  completeText,
  failText,
  pollText,
  queryText,
  SIGNED_CALL_WINDOW_SECONDS,
  verifyNodeCall,
  verifyQuery,
} from '../../src/chain/signed-calls.js'
import { signedPollBody, signedQueryBody } from '../../src/wire/signed.js'
import { flip, NODE, otherS, USER, USER_UNCOMPRESSED } from './vectors.js'

const AT = 1_767_225_600
const now = AT * 1000
/** As today's nodes and clients sign. */
const POLL =
  'f47f6e08d16ad82f6936f1b4b197cdb25872c51bc6d2515bcb7cf2013b171ade02a54268e0f70fe959323dc694782edfe802f4f718cacbd9fbf548745c1b528e'
const QUERY =
  'fc02313a8f684a4da0d8063da8314c7fdb583e601346f0ec4a8fa531b140d65f0f2324fd152cba79094e508060293354f20bd6d47e113d73d2fdd51c0b91a30901'
const poll = { node_id: 'node-001', timestamp: AT, signature: POLL }
const query = { task_id: 'task-001', timestamp: AT, signature: QUERY, public_key: USER.publicKey }
const node = { registered: NODE.publicKey, now }
const owner = { owner: USER.testnet, now }

const verifyPoll = (change: Partial<typeof poll> = {}, who: { registered?: string | null; now?: number } = {}) => {
  const call = { ...poll, ...change }
  return verifyNodeCall(call, pollText(call), { ...node, ...who })
}
const der = (key: KeyObject, text: string): string => sign('sha256', Buffer.from(text), key).toString('hex')
const refused = (code: string, message: string) => ({ ok: false, code, message })
const proof = (key: string) => ({ ok: true, value: { key, timestamp: AT } })

test('a poll that today’s node signed is that node’s', async () => {
  expect(await verifyPoll()).toEqual(proof(NODE.publicKey))
  expect(await verifyPoll({ signature: POLL.toUpperCase() })).toEqual(proof(NODE.publicKey))
  expect(await verifyPoll({ signature: `${POLL}00` }), 'with a recovery byte').toEqual(proof(NODE.publicKey))
  expect(await verifyPoll({ signature: `${POLL}ff` }), 'which says nothing').toEqual(proof(NODE.publicKey))
})

test.each([
  [{ timestamp: AT - 301 }, {}, 'invalid_request', 'Request timestamp expired (must be within 5 minutes)'],
  [{ timestamp: AT + 301 }, {}, 'invalid_request', 'Request timestamp expired (must be within 5 minutes)'],
  [{ timestamp: 0 }, {}, 'invalid_request', 'Request timestamp expired (must be within 5 minutes)'],
  [{}, { registered: null }, 'forbidden', 'Node node-001 not registered'],
  [{ signature: `0x${POLL}` }, {}, 'invalid_request', 'Invalid signature hex: bad character x for hex string'],
  [{ signature: 'né' }, {}, 'invalid_request', 'Invalid signature hex: bad character n for hex string'],
  [{ signature: 'abc' }, {}, 'invalid_request', 'Invalid signature hex: bad length 3 for hex string'],
  [{ signature: '' }, {}, 'invalid_request', 'Invalid signature length: 0 (expected 64 or 65)'],
  [{ signature: POLL.slice(2) }, {}, 'invalid_request', 'Invalid signature length: 63 (expected 64 or 65)'],
  [{ signature: `${POLL}0000` }, {}, 'invalid_request', 'Invalid signature length: 66 (expected 64 or 65)'],
  [
    { signature: 'ff'.repeat(64) },
    {},
    'invalid_request',
    'Invalid signature format: r and s must be below the order of secp256k1',
  ],
  [{ signature: '00'.repeat(64) }, {}, 'forbidden', 'Signature verification failed'],
  [{ signature: otherS(POLL) }, {}, 'forbidden', 'Signature verification failed'],
  [{ node_id: 'node-002' }, {}, 'forbidden', 'Signature verification failed'],
  [{ timestamp: AT + 1 }, {}, 'forbidden', 'Signature verification failed'],
  [{}, { registered: USER.publicKey }, 'forbidden', 'Signature verification failed'],
  [
    {},
    { registered: '0xplaceholder' },
    'internal',
    'Invalid registered public key: it is no secp256k1 key in hex; register the node again with the key it signs with',
  ],
])('a poll with %j for %j is refused as %s: %s', async (change, who, code, message) => {
  expect(await verifyPoll(change, who)).toEqual(refused(code, message))
})

test('what is wrong with a poll is said in this order: its time, its node, the hex, the node’s key, the length, the signature', async () => {
  const wrong = { timestamp: 0, signature: 'x' }
  const steps = [
    [wrong, { registered: null }, 'Request timestamp expired'],
    [{ ...wrong, timestamp: AT }, { registered: null }, 'Node node-001 not registered'],
    [{ ...wrong, timestamp: AT }, { registered: 'none' }, 'Invalid signature hex'],
    [{ signature: 'ab' }, { registered: 'none' }, 'Invalid registered public key'],
    [{ signature: 'ab' }, {}, 'Invalid signature length'],
    [{ signature: '00'.repeat(64) }, {}, 'Signature verification failed'],
  ] as const
  for (const [change, who, message] of steps)
    expect(await verifyPoll(change, who)).toMatchObject({ message: expect.stringContaining(message) })
})

test(`a call is in time up to ${SIGNED_CALL_WINDOW_SECONDS} seconds to either side of our clock`, async () => {
  for (const seconds of [-300, 300])
    expect(await verifyPoll({}, { now: now + seconds * 1000 })).toMatchObject({ ok: true })
  for (const seconds of [-301, 301])
    expect(await verifyPoll({}, { now: now + seconds * 1000 })).toMatchObject({ ok: false })
  expect(await verifyPoll({}, { now: now + 300_999 }), 'whole seconds count').toMatchObject({ ok: true })
})

test('a node completes and fails a task with what it signed, and with nothing else', async () => {
  // Signed with @stacks/transactions, R, S and V.
  const complete =
    'f9864dc3ead9984fbb85cd253c8b3e70058538c98a3b70c11638500989d6a88a6a2f53041177d53ab9765b73e54305aa753eaaa86a52591431ef35ee34d5763f01'
  const fail =
    'bc932508f3c0d143a1770ab1fcfc6003decf7c9a4f005e5bec338705e48a450c4c1bd0ff692d2e98198a59d0f17d7a81de55708df9422afce0ffe4982fff7b6501'
  const result = { node_id: 'node-001', task_id: 'task-001', timestamp: AT }
  const output = 'A time-limited right.'
  const error = 'out of memory'
  const by = (signature: string, text: string) => verifyNodeCall({ ...poll, signature }, text, node)
  expect(completeText({ ...result, output })).toBe(
    'COMPLETE_TASK:node-001:1767225600:6cd04bead07f977df7f02ef67959960c8ab18d9530906bdc528f5c16d4f2f1d4',
  )
  expect(failText({ ...result, error, retryable: true })).toBe(
    'FAIL_TASK:node-001:1767225600:fdd3b0732e6376791517ba9e0337ec0e985668ca4a6beb3288c4dcbb58a9b2d8',
  )
  expect(await by(complete, completeText({ ...result, output }))).toEqual(proof(NODE.publicKey))
  expect(await by(fail, failText({ ...result, error, retryable: true }))).toEqual(proof(NODE.publicKey))

  const others = [
    completeText({ ...result, output: `${output} ` }),
    completeText({ ...result, output, task_id: 'task-002' }),
    completeText({ ...result, output, node_id: 'node-002' }),
    failText({ ...result, error: output, retryable: true }),
    pollText(result),
  ]
  for (const text of others) expect(await by(complete, text)).toMatchObject({ ok: false, code: 'forbidden' })
  expect(await by(fail, failText({ ...result, error, retryable: false }))).toMatchObject({ ok: false })
})

test('the examples of docs/signed-calls.md are signed as it says', async () => {
  const page = readFileSync(new URL('../../docs/signed-calls.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+:.*?)` \| `([0-9a-f]{128,130})` \|$/gm)].map((m) => [m[1] ?? '', m[2] ?? ''])
  const result = { node_id: 'node-001', task_id: 'task-001', timestamp: AT }
  expect(rows.map(([text]) => text)).toEqual([
    pollText(result),
    completeText({ ...result, output: 'A time-limited right.' }),
    failText({ ...result, error: 'out of memory', retryable: true }),
    queryText(result),
  ])
  for (const [text = '', signature = ''] of rows.slice(0, 3))
    expect(await verifyNodeCall({ ...poll, signature }, text, node)).toEqual(proof(NODE.publicKey))
  expect(await verifyQuery({ ...query, signature: rows[3]?.[1] ?? '' }, owner)).toEqual(proof(USER.publicKey))
})

test('no two results have the same text to sign', () => {
  const name = fc.string({ unit: fc.constantFrom('a', ':', '1', '-'), minLength: 1, maxLength: 6 })
  const call = fc.record({
    node_id: name,
    task_id: name,
    timestamp: fc.nat(20),
    output: fc.string({ unit: fc.constantFrom('a', ':', '1', '\n'), maxLength: 6 }),
  })
  fc.assert(
    fc.property(call, call, (a, b) => {
      expect(completeText(a) === completeText(b)).toBe(JSON.stringify(a) === JSON.stringify(b))
    }),
    { numRuns: 3000 },
  )
})

test('a query that today’s client signed is the owner’s, on either network and in each form of signature', async () => {
  const text = queryText(query)
  const forms = {
    rsv: QUERY,
    'rsv with 0x': `0x${QUERY}`,
    compact: QUERY.slice(0, 128),
    der: der(USER.key, text),
    'der with 0x': `0x${der(USER.key, text)}`,
  }
  for (const [form, signature] of Object.entries(forms)) {
    for (const address of [USER.testnet, USER.mainnet])
      expect(await verifyQuery({ ...query, signature }, { owner: address, now }), form).toEqual(proof(USER.publicKey))
  }
})

test('a user whose key is not compressed owns the address of that form, and not the other', async () => {
  const call = { ...query, public_key: USER_UNCOMPRESSED.publicKey }
  for (const address of [USER_UNCOMPRESSED.testnet, USER_UNCOMPRESSED.mainnet])
    expect(await verifyQuery(call, { owner: address, now })).toEqual(proof(USER.publicKey))
  expect(await verifyQuery(call, owner)).toMatchObject({ code: 'forbidden' })
})

const EXPIRED = 'Request expired. Timestamp must be within 5 minutes.'
const NOT_OWNER = 'Unauthorized: you are not the owner of this task'
test.each([
  [{ timestamp: AT - 301 }, null, 'unauthorized', EXPIRED],
  [{ timestamp: AT + 301, public_key: '' }, USER.testnet, 'unauthorized', EXPIRED],
  [{ public_key: '', signature: '' }, null, 'task_not_found', 'Task not found'],
  [{ public_key: '', signature: '' }, USER.testnet, 'invalid_request', 'Invalid public key format'],
  [{ public_key: `02${'ff'.repeat(32)}` }, USER.testnet, 'invalid_request', 'Invalid public key format'],
  [{ signature: '' }, USER.testnet, 'invalid_request', 'Invalid signature format'],
  [{ signature: '0x' }, USER.testnet, 'invalid_request', 'Invalid signature format'],
  [{ signature: `0x0x${QUERY}` }, USER.testnet, 'invalid_request', 'Invalid signature format'],
  [{ signature: `${QUERY}00` }, USER.testnet, 'invalid_request', 'Invalid signature format'],
  [{ signature: 'ff'.repeat(65) }, USER.testnet, 'invalid_request', 'Invalid signature format'],
  [{ signature: '3006020100020100' }, USER.testnet, 'unauthorized', 'Signature verification failed'],
  [{ signature: '00'.repeat(65) }, USER.testnet, 'unauthorized', 'Signature verification failed'],
  [{ task_id: 'task-002' }, USER.testnet, 'unauthorized', 'Signature verification failed'],
  [{ public_key: NODE.publicKey }, NODE.testnet, 'unauthorized', 'Signature verification failed'],
  [{}, NODE.testnet, 'forbidden', NOT_OWNER],
  [{}, '', 'forbidden', NOT_OWNER],
  [{}, USER.testnet.toLowerCase(), 'forbidden', NOT_OWNER],
  [{}, `${USER.testnet} `, 'forbidden', NOT_OWNER],
])('a query with %j for a task of %j is refused as %s: %s', async (change, address, code, message) => {
  expect(await verifyQuery({ ...query, ...change }, { owner: address, now })).toEqual(refused(code, message))
})

test('a call with any bit of its text, key or signature turned is refused, and nothing throws', async () => {
  const bit = fc.nat(8 * 64 - 1)
  const text = pollText(poll)
  const queryDer = der(USER.key, queryText(query))
  await fc.assert(
    fc.asyncProperty(bit, async (bit) => {
      const outcomes = [
        await verifyPoll({ signature: flip(POLL, bit) }),
        await verifyPoll({}, { registered: flip(NODE.publicKey, bit) }),
        await verifyNodeCall(poll, flipText(text, bit), node),
        await verifyQuery({ ...query, signature: flip(QUERY.slice(0, 128), bit) }, owner),
        await verifyQuery({ ...query, signature: flip(queryDer, bit) }, owner),
        await verifyQuery({ ...query, public_key: flip(USER.publicKey, bit) }, owner),
        await verifyQuery({ ...query, task_id: flipText(query.task_id, bit) }, owner),
        await verifyQuery({ ...query, timestamp: AT + 1 + (bit % 300) }, owner),
      ]
      expect(outcomes.map((o) => o.ok)).toEqual(outcomes.map(() => false))
    }),
    { numRuns: 150 },
  )
})

test('no call of any shape is anything but proven or refused', async () => {
  const hex = fc.uint8Array({ maxLength: 80 }).map((b) => Buffer.from(b).toString('hex'))
  const text = fc.oneof(
    hex,
    hex.map((h) => `30${h}`),
    fc.string({ unit: 'binary', maxLength: 140 }),
  )
  const nearDer = fc
    .tuple(fc.uint8Array({ minLength: 4, maxLength: 70 }), fc.nat(70))
    .map(([b, n]) => Buffer.from([0x30, b.length + 2, 0x02, n, ...b]).toString('hex'))
  await fc.assert(
    fc.asyncProperty(fc.oneof(text, nearDer), fc.oneof(text, fc.constant(USER.publicKey)), async (signature, key) => {
      expect((await verifyPoll({ signature }, { registered: key })).ok).toBe(false)
      expect((await verifyQuery({ ...query, signature, public_key: key }, owner)).ok).toBe(false)
    }),
    { numRuns: 1500 },
  )
})

test('the bodies of signed calls are taken as today’s nodes and clients send them', () => {
  expect(v.parse(signedPollBody, { ...poll, more: 1 })).toEqual({ ...poll, features: [] })
  expect(v.parse(signedQueryBody, query)).toEqual(query)
  const wrong: Record<string, unknown>[] = [
    { timestamp: `${AT}` },
    { timestamp: 1.5 },
    { timestamp: -1 },
    { timestamp: 2 ** 53 },
    { timestamp: null },
    { signature: 1 },
    { signature: 'a'.repeat(1025) },
  ]
  for (const change of wrong) {
    expect(v.safeParse(signedPollBody, { ...poll, ...change }).success).toBe(false)
    expect(v.safeParse(signedQueryBody, { ...query, ...change }).success).toBe(false)
  }
  expect(v.safeParse(signedQueryBody, { ...query, public_key: 'a'.repeat(1025) }).success).toBe(false)
})

/** A text with one bit of one character turned, and still a text. */
function flipText(text: string, bit: number): string {
  const at = bit % text.length
  return text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ (1 << (bit % 6))) + text.slice(at + 1)
}
