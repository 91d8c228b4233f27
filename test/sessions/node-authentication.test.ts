import { createPublicKey, ECDH, sign } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { helloText } from '../../src/wire/keys.js'
import type { ServerMessage } from '../../src/wire/node.js'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { fakeTimers } from '../support/fake-time.js'
import { foreignKey, identity, signText } from '../support/identity.js'
import { challenged, connectNode, hello, refusedHello } from '../support/node-session.js'
import { nodeOf } from '../support/rest-calls.js'
import { type Service, startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { openSocket } from '../support/test-socket.js'

test('a public key may be written with 0x and in upper case', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service)
  node.say(hello(service, 'n', challenge.nonce, { public_key: `0x${identity('n').publicKey.toUpperCase()}` }))
  await node.next('session.welcome')
  node.close()
  await node.closed
  await connectNode(service, 'n') // the same key in its plain spelling
})

test.each<[string, (service: Service, nonce: string) => Record<string, unknown>]>([
  [
    'for another host',
    (s, nonce) => ({ signature: signText(identity('n').key, helloText('n', 'pool.example.org', nonce)) }),
  ],
  [
    'for another port',
    (s, nonce) => ({ signature: signText(identity('n').key, helloText('n', s.host.replace(/:\d+$/, ':1'), nonce)) }),
  ],
  ['for another nonce', (s) => ({ signature: signText(identity('n').key, helloText('n', s.host, '00'.repeat(32))) })],
  ['for another node_id', (s, nonce) => ({ signature: signText(identity('n').key, helloText('m', s.host, nonce)) })],
  ['by another key', (s, nonce) => ({ signature: signText(identity('m').key, helloText('n', s.host, nonce)) })],
  [
    'for another protocol version',
    (s, nonce) => ({ signature: signText(identity('n').key, helloText('n', s.host, nonce).replace('.v1:', '.v2:')) }),
  ],
  [
    'in DER',
    (s, nonce) => ({
      signature: sign('sha256', Buffer.from(helloText('n', s.host, nonce)), identity('n').key).toString('hex'),
    }),
  ],
  ['of 63 bytes', (s, nonce) => ({ signature: signText(identity('n').key, helloText('n', s.host, nonce)).slice(2) })],
  ['of zeros', () => ({ signature: '00'.repeat(64) })],
  ['of ones', () => ({ signature: 'ff'.repeat(64) })],
  ['that is no hex', () => ({ signature: 'z'.repeat(128) })],
])('a hello with a signature %s closes with 4401 and registers nothing', async (_, wrong) => {
  const service = await startService()
  const { code, errors, welcomed } = await refusedHello(service, (nonce) =>
    hello(service, 'n', nonce, wrong(service, nonce)),
  )
  expect({ code, welcomed }).toEqual({ code: 4401, welcomed: false })
  expect(errors).toMatchObject([{ code: 'unauthorized' }])
  expect(await nodeOf(service, 'n')).toBeUndefined()
})

test('a key of another curve closes with 4401', async () => {
  const service = await startService()
  const key = foreignKey()
  const { x = '', y = '' } = createPublicKey(key).export({ format: 'jwk' })
  const compressed = Buffer.concat([
    Buffer.from([2 + ((Buffer.from(y, 'base64url').at(-1) ?? 0) & 1)]),
    Buffer.from(x, 'base64url'),
  ]).toString('hex')
  const { code } = await refusedHello(service, (nonce) =>
    hello(service, 'n', nonce, {
      public_key: compressed,
      signature: signText(key, helloText('n', service.host, nonce)),
    }),
  )
  expect(code).toBe(4401)
  expect(await nodeOf(service, 'n')).toBeUndefined()
})

test.each([
  ['a placeholder', '03a1b2c3...'],
  ['33 bytes that are no point of the curve', `02${'ff'.repeat(32)}`],
  ['the x alone', identity('n').publicKey.slice(2)],
])('%s as public key closes with 4401', async (_, public_key) => {
  const service = await startService()
  const { code, errors } = await refusedHello(service, (nonce) => hello(service, 'n', nonce, { public_key }))
  expect(code).toBe(4401)
  expect(errors).toMatchObject([{ code: 'unauthorized', message: expect.stringContaining('public_key') }])
})

test('the host is compared in lower case', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service, { headers: { host: 'LocalHost' } })
  node.say(hello({ host: 'localhost' }, 'n', challenge.nonce))
  await node.next('session.welcome')
})

test('the host is the one of the Host header, not the address of the socket', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service, { headers: { host: 'localhost' } })
  node.say(hello(service, 'n', challenge.nonce))
  expect((await node.closed).code).toBe(4401)
})

test('with public_hosts a hello must be signed for one of them, whatever the Host header says', async () => {
  const service = await startService({ public_hosts: ['Pool.Example.org', 'pool.example.org:8443'] })
  for (const host of ['pool.example.org', 'pool.example.org:8443']) {
    const { node, challenge } = await challenged(service)
    node.say(hello({ host }, host.replace(':', '-'), challenge.nonce))
    await node.next('session.welcome')
  }
  const { code } = await refusedHello(service, (nonce) => hello(service, 'n', nonce))
  expect(code).toBe(4401)
})

test.runIf(hasOpenssl)('where TLS ends here, its own port belongs to each of public_hosts that has none', async () => {
  const [tls_cert, tls_key] = [join(tempDir(), 'cert.pem'), join(tempDir(), 'key.pem')]
  makeCertificate(tls_cert, tls_key)
  const service = await startService({ tls_cert, tls_key, public_hosts: ['pool.example.org', 'other.example.org:444'] })
  const port = service.host.split(':')[1]
  const answerTo = async (host: string) => {
    const url = `wss://${service.host}/api/v1/nodes/connect`
    const node = await openSocket<ServerMessage>(url, ['inference-node.v1'], { rejectUnauthorized: false })
    const { nonce } = await node.next('session.challenge')
    node.say(hello({ host }, host.replace(':', '-'), nonce))
    return node.next('session.welcome').then(
      () => 'welcome',
      async () => (await node.closed).code,
    )
  }
  expect(await answerTo('pool.example.org')).toBe('welcome')
  expect(await answerTo(`pool.example.org:${port}`)).toBe('welcome')
  expect(await answerTo('other.example.org:444')).toBe('welcome')
  const wrong = await openSocket<ServerMessage>(`wss://${service.host}/api/v1/nodes/connect`, ['inference-node.v1'], {
    rejectUnauthorized: false,
  })
  const { nonce } = await wrong.next('session.challenge')
  wrong.say(hello({ host: 'else' }, 'n', nonce))
  expect((await wrong.closed).reason).toMatch(/^signature: is not by this key for host pool\.example\.org or /)
  for (const host of [`other.example.org:${port}`, 'pool.example.org:1', `127.0.0.1:${port}`])
    expect([host, await answerTo(host)]).toEqual([host, 4401])
})

test.each([
  ['a heartbeat', { type: 'node.heartbeat' }],
  ['an unknown type', { type: 'task.dance' }],
  ['an empty array', []],
  [
    'a hello without supported_models',
    { type: 'session.hello', node_id: 'n', public_key: identity('n').publicKey, signature: '00'.repeat(64) },
  ],
])('a first message that is no hello closes with 4401: %s', async (_, message) => {
  const service = await startService()
  const { code, welcomed } = await refusedHello(service, () => message as Record<string, unknown>)
  expect({ code, welcomed }).toEqual({ code: 4401, welcomed: false })
})

test.each([
  ['an empty node_id', { node_id: '' }],
  ['a node_id with a slash', { node_id: 'a/b' }],
  ['no slots', { max_concurrent_tasks: 0 }],
  ['more than 1024 slots', { max_concurrent_tasks: 1025 }],
  ['a performance_score over 1', { performance_score: 1.5 }],
  ['an unknown status', { status: 'offline' }],
  ['models that are no array', { supported_models: 'llama' }],
  ['a running attempt 0', { running: [{ task_id: 'a', attempt: 0 }] }],
])('a hello that does not fit is refused with the field that is wrong: %s', async (_, wrong) => {
  const service = await startService()
  const { code, errors } = await refusedHello(service, (nonce) => hello(service, 'n', nonce, wrong))
  expect(code).toBe(4401)
  expect(errors).toMatchObject([
    { code: 'invalid_message', message: expect.stringContaining(Object.keys(wrong)[0] ?? '') },
  ])
  expect(await service.get('/api/v1/nodes')).toMatchObject({ body: { data: [] } })
})

test('a socket that says nothing is closed with 4401 after ten seconds and not before', async () => {
  const service = await startService()
  const timers = fakeTimers()
  const { node } = await challenged(service)
  timers.jump(9.999)
  node.socket.ping()
  await once(node.socket, 'pong')
  expect(node.socket.readyState).toBe(WebSocket.OPEN)
  timers.jump(0.001)
  expect((await node.closed).code).toBe(4401)
})

test('a node that said hello in time is not closed after ten seconds', async () => {
  const service = await startService()
  const timers = fakeTimers()
  const node = await connectNode(service, 'n')
  timers.jump(20)
  await node.beat()
})

test('a second hello in an open session is a wrong message', async () => {
  const service = await startService()
  const { node, challenge } = await challenged(service)
  node.say(hello(service, 'n', challenge.nonce))
  await node.next('session.welcome')
  node.say(hello(service, 'n', challenge.nonce, { max_concurrent_tasks: 9 }))
  expect(await node.next('error')).toMatchObject({ code: 'invalid_message' })
  expect(await nodeOf(service, 'n')).toMatchObject({ max_concurrent_tasks: 1 })
})

test('a hello with another key than the first valid one is refused with 4403 and changes nothing', async () => {
  const service = await startService()
  const owner = await connectNode(service, 'n')
  const thief = identity('thief')
  const { code, errors, welcomed } = await refusedHello(service, (nonce) =>
    hello(service, 'n', nonce, { supported_models: ['gemma'] }, thief),
  )
  expect({ code, welcomed }).toEqual({ code: 4403, welcomed: false })
  expect(errors).toMatchObject([{ code: 'key_mismatch' }])
  expect(await nodeOf(service, 'n')).toMatchObject({ public_key: identity('n').publicKey, supported_models: ['llama'] })
  await owner.beat()
})

test('a valid key that was registered over REST is the key of the node', async () => {
  const service = await startService()
  await service.register('n', { public_key: identity('n').publicKey })
  const { code } = await refusedHello(service, (nonce) => hello(service, 'n', nonce, {}, identity('thief')))
  expect(code).toBe(4403)
  await connectNode(service, 'n')
})

test.each<[string, (key: string) => string]>([
  ['in upper case', (key) => key.toUpperCase()],
  ['with 0x', (key) => `0x${key}`],
  ['uncompressed', (key) => ECDH.convertKey(key, 'secp256k1', 'hex', 'hex', 'uncompressed').toString()],
])('a key that was registered over REST %s is the same key', async (_, write) => {
  const service = await startService()
  await service.register('n', { public_key: write(identity('n').publicKey) })
  await connectNode(service, 'n')
})

test('the same key may serve under several names', async () => {
  const service = await startService()
  for (const name of ['a', 'b']) {
    const { node, challenge } = await challenged(service)
    node.say(hello(service, name, challenge.nonce, {}, identity('one operator')))
    await node.next('session.welcome')
  }
})
