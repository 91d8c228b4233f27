import { createECDH } from 'node:crypto'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createAccess } from '../../src/store/access.js'
import { openDatabase } from '../../src/store/open.js'
import { tempDir } from '../support/temp-dir.js'

const by = (seconds: number) => ({ actor: 'cli:me', address: null, request_id: null, at_ms: seconds * 1000 })
const newKey = () => {
  const ecdh = createECDH('secp256k1')
  ecdh.generateKeys()
  return { short: ecdh.getPublicKey('hex', 'compressed'), long: ecdh.getPublicKey('hex', 'uncompressed') }
}

function opened() {
  const { db, close } = openDatabase(join(tempDir(), 'inference.db'))
  onTestFinished(close)
  const access = createAccess(db)
  const change = <T>(action: () => T): T => db.transaction(action)()
  const node = (id: string, key: string, proven: 0 | 1) =>
    db
      .prepare(
        `INSERT INTO inference_nodes (node_id, endpoint, public_key, key_proven, status, supported_models, performance_score,
          max_concurrent_tasks, transport, last_heartbeat, last_seen_ms) VALUES (?, '', ?, ?, 'online', '[]', 1, 1, 'websocket', 0, 0)`,
      )
      .run(id, key, proven)
  const actions = () => access.audit.after(0, 100).map((row) => [row.action, row.subject])
  return { db, access, change, node, actions }
}

test('a key is let in in any form, and is one key', () => {
  const { access, change, actions } = opened()
  const { short, long } = newKey()
  expect(change(() => access.allowKey(long, 4, by(10)))).toMatchObject({
    value: { public_key: short, state: 'enrolled', slots_max: 4, invited_by: 'cli:me', first_seen: 10 },
  })
  expect(change(() => access.allowKey(`0x${short.toUpperCase()}`, null, by(20)))).toMatchObject({
    value: { slots_max: null, first_seen: 10, changed_at: 20 },
  })
  expect(access.nodeKeys.all()).toHaveLength(1)
  expect(change(() => access.allowKey('02nonsense', null, by(20)))).toMatchObject({ code: 'invalid_request' })
  expect(actions()).toEqual([
    ['node.allowed', short],
    ['node.allowed', short],
  ])
})

test('a node is banned by its name or its key, and comes back only by the word of an operator', () => {
  const { access, change, node } = opened()
  const [a, b] = [newKey(), newKey()]
  node('node-a', a.short, 1)
  expect(change(() => access.banKey('node-a', 'garbage', by(10)))).toMatchObject({
    value: { public_key: a.short, state: 'banned', reason: 'garbage' },
  })
  expect(change(() => access.banKey(b.long, null, by(10)))).toMatchObject({ value: { public_key: b.short } })
  expect(change(() => access.enrolKey(a.short, 'node-a', 'an invite', by(20)))).toMatchObject({ code: 'forbidden' })
  expect(change(() => access.allowKey(a.short, null, by(30)))).toMatchObject({
    value: { state: 'enrolled', reason: null },
  })
})

test('a key that nobody has proven is not banned by the name of a node that claims it', () => {
  const { access, change, node, actions } = opened()
  const victim = newKey()
  node('impostor', victim.short, 0)
  expect(change(() => access.banKey('impostor', null, by(10)))).toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('impostor has proven no key'),
  })
  expect(change(() => access.banKey('nobody', null, by(10)))).toMatchObject({ code: 'node_not_registered' })
  expect(actions()).toEqual([])
})

test('another key takes the place of a node, and the old one is of no use any more', () => {
  const { access, change, node, actions } = opened()
  const [old, next, third] = [newKey(), newKey(), newKey()]
  node('node-a', old.short, 1)
  change(() => access.allowKey(old.short, 4, by(5)))
  expect(change(() => access.rekeyNode('node-a', next.long, 'operator', by(10)))).toMatchObject({
    value: { public_key: next.short, node_id: 'node-a', state: 'enrolled', slots_max: 4 },
  })
  expect(access.nodeKeys.get(old.short)).toMatchObject({ state: 'banned', replaced_by: next.short })
  expect(access.nodeKeys.bound().map((row) => [row.node_id, row.public_key])).toEqual([['node-a', next.short]])
  // The node's row is the service's own; what the command wrote counts before it.
  expect(access.nodeKeys.keyOf('node-a')).toBe(next.short)

  expect(change(() => access.rekeyNode('node-a', next.short, 'operator', by(20)))).toMatchObject({ code: 'conflict' })
  expect(change(() => access.rekeyNode('node-a', old.short, 'operator', by(20)))).toMatchObject({ code: 'conflict' })
  node('node-b', newKey().short, 1)
  expect(change(() => access.rekeyNode('node-b', next.short, 'operator', by(20)))).toMatchObject({
    message: expect.stringContaining('that of node-a'),
  })
  change(() => access.rekeyNode('node-a', third.short, 'old key', by(30)))
  expect(access.nodeKeys.bound().map((row) => row.public_key)).toEqual([third.short])
  // Even when the first is let in again, it is not the node's.
  expect(change(() => access.allowKey(next.short, null, by(40)))).toMatchObject({ value: { node_id: null } })
  expect(actions().map(([action]) => action)).toEqual(['node.allowed', 'node.rekeyed', 'node.rekeyed', 'node.allowed'])
})
