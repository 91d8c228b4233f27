import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { coordinatorAddress } from '../../src/inference-node/address.js'
import { createIdentity, defaultNodeId } from '../../src/inference-node/index.js'
import { connectedNode, createNode, endlessWork, startNode } from '../support/inference-node.js'
import { assignment, startCoordinator } from '../support/scripted-coordinator.js'

test('a node signs the challenge for the host it dialled, and says all about itself', async () => {
  const coordinator = await startCoordinator()
  const identity = createIdentity()
  await startNode({
    coordinator: coordinator.url,
    identity,
    maxConcurrentTasks: 3,
    performanceScore: 0.5,
    endpoint: 'http://here',
    nodeAddress: 'ST1',
  })
  const session = await coordinator.next()
  const hello = await session.hello()
  expect(session.host).toBe(`127.0.0.1:${coordinator.port}`)
  expect(session.socket.protocol).toBe('inference-node.v1')
  expect(hello).toMatchObject({
    node_id: defaultNodeId(identity),
    public_key: identity.publicKey,
    supported_models: ['llama-3-8b'],
    max_concurrent_tasks: 3,
    performance_score: 0.5,
    endpoint: 'http://here',
    node_address: 'ST1',
    status: 'online',
    running: [],
    batch: true,
  })
  expect(hello.agent).toMatch(/^[^/]+\/\d+\.\d+\.\d+$/)
})

test.each([
  ['http://Pool.Example.org', 'ws://pool.example.org/api/v1/nodes/connect', 'pool.example.org'],
  ['https://pool.example.org:443/', 'wss://pool.example.org/api/v1/nodes/connect', 'pool.example.org'],
  ['ws://127.0.0.1:8080', 'ws://127.0.0.1:8080/api/v1/nodes/connect', '127.0.0.1:8080'],
  [
    'wss://pool.example.org:8443/api/v1/nodes/connect',
    'wss://pool.example.org:8443/api/v1/nodes/connect',
    'pool.example.org:8443',
  ],
  [
    'http://pool.example.org/behind/a/proxy/',
    'ws://pool.example.org/behind/a/proxy/api/v1/nodes/connect',
    'pool.example.org',
  ],
  ['http://[::1]:8080', 'ws://[::1]:8080/api/v1/nodes/connect', '[::1]:8080'],
  ['http://h:80?x=1#y', 'ws://h/api/v1/nodes/connect?x=1', 'h'],
])('%s is dialled as %s and signed for %s', (given, url, host) => {
  expect(coordinatorAddress(given)).toMatchObject({ url, host })
})

test('what is no URL of a coordinator is refused, and a password is never shown', () => {
  for (const text of ['', 'pool.example.org', 'ftp://x', 'http://', 'file:///x'])
    expect(coordinatorAddress(text)).toBeNull()
  expect(coordinatorAddress('http://me:secret@h/?token=secret')?.shown).toBe('ws://h/api/v1/nodes/connect')
})

test('a node sends a heartbeat every interval, with what it works on', async () => {
  const { work, began } = endlessWork()
  const { session } = await connectedNode({ work }, { heartbeat_interval: 0.05 })
  session.assign()
  await began('t1/1')
  session.send({ type: 'node.heartbeat_ack', server_time: 1 })
  for (;;) {
    const beat = await session.expect('node.heartbeat')
    session.send({ type: 'node.heartbeat_ack', server_time: 1 })
    expect(beat.status).toBe('online')
    if (beat.running?.[0] === 't1') break
  }
})

test('a coordinator that says nothing for three intervals is given up and dialled again', async () => {
  const { coordinator, event } = await connectedNode({}, { heartbeat_interval: 0.03 })
  expect((await event('disconnected')).reason).toContain('no message for 3 heartbeat intervals')
  await coordinator.welcomed()
  await event('connected')
})

test('a coordinator that takes the connection and never answers is given up after the connect timeout', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    sockets.forEach((s) => s.destroy())
    server.close()
  })
  const { event } = await startNode({
    coordinator: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connectTimeout: 0.05,
  })
  expect((await event('disconnected')).reason).toContain('no welcome within 0.05 s')
})

test('a coordinator that sends no challenge is given up too', async () => {
  const coordinator = await startCoordinator({ challenge: false })
  const { event } = await startNode({ coordinator: coordinator.url, connectTimeout: 0.05 })
  expect((await event('disconnected')).reason).toContain('no welcome')
})

test('messages of unknown types and unknown fields are ignored; what does not fit is a warning', async () => {
  const { session, event, node } = await connectedNode()
  session.raw('{"type":"session.weather","sun":true}')
  session.raw('{"type":"task.assign","task_id":7}')
  session.raw('[]')
  session.raw('garbage')
  for (let i = 0; i < 3; i++) expect((await event('warning')).message).toContain('does not fit the protocol')
  session.raw(JSON.stringify([{ ...assignment(), brand_new: 1 }]))
  expect((await session.expect('task.complete')).output).toBe('hello there')
  expect(node.connected).toBe(true)
})

test('a coordinator that sends nothing but garbage is left, and dialled again', async () => {
  const { coordinator, session, event } = await connectedNode()
  for (let i = 0; i < 12; i++) session.raw(Buffer.from([1, 2, 3]))
  expect((await event('disconnected')).reason).toContain('too many messages that do not fit')
  await coordinator.welcomed()
})

test('what one turn sends is one array frame, of at most 256 messages', async () => {
  const { session } = await connectedNode({ maxConcurrentTasks: 600 })
  session.send(Array.from({ length: 256 }, (_, i) => assignment({ task_id: `a${i}` })))
  session.send(Array.from({ length: 256 }, (_, i) => assignment({ task_id: `b${i}` })))
  for (let i = 0; i < 512; i++) await session.expect('task.complete')
  expect(Math.max(...session.frames)).toBeGreaterThan(1)
  expect(Math.max(...session.frames)).toBeLessThanOrEqual(256)
  expect(session.frames.length).toBeLessThan(200)
})

test('array frames stay below the size limit', async () => {
  const { session } = await connectedNode(
    { maxConcurrentTasks: 10, work: () => 'x'.repeat(900) },
    { max_message_bytes: 2000 },
  )
  session.send(Array.from({ length: 10 }, (_, i) => assignment({ task_id: `t${i}` })))
  for (let i = 0; i < 10; i++) await session.expect('task.complete')
  expect(Math.max(...session.frameBytes)).toBeLessThanOrEqual(2000)
})

test('a node starts once', async () => {
  const coordinator = await startCoordinator()
  const { node } = createNode({ coordinator: coordinator.url })
  await node.start()
  await expect(node.start()).rejects.toThrow('starts once')
})

test('wrong options are one line that names the option', () => {
  const coordinator = 'http://127.0.0.1:1'
  expect(() => createNode({ coordinator: 'nowhere' })).toThrow(/^coordinator: must be/)
  expect(() => createNode({ coordinator, maxConcurrentTasks: 0 })).toThrow(
    /^maxConcurrentTasks: must be an integer from 1/,
  )
  expect(() => createNode({ coordinator, models: [] })).toThrow(/^models: must name at least one/)
  expect(() => createNode({ coordinator, nodeId: 'a/b' })).toThrow(/^nodeId: must be/)
})
