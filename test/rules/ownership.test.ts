import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { may } from '../../src/rules/access.js'
import { hiddenFields, ownerOf, ownsNode, ownsTask, redact } from '../../src/rules/ownership.js'
import { actorOf, ANONYMOUS, NOBODY, OPEN, principal } from '../../src/rules/principal.js'

const policy = { anonymousSubmit: true, publicStats: true }
const address = fc.constantFrom('ST1', 'ST2', 'ST3')
const user = principal({ role: 'user', token_id: 'abcd1234', owners: ['ST1', 'ST2'] })
const wallet = principal({ role: 'user', owners: ['ST1'], wallet: true })
const admin = principal({ role: 'admin', token_id: 'efgh5678' })

describe('whose a task is', () => {
  test('what a principal has submitted is its own, whoever it is', () => {
    fc.assert(
      fc.property(address, fc.constantFrom(user, wallet, NOBODY), (user_address, who) => {
        const owner_id = ownerOf(who, user_address)
        if (owner_id !== undefined) expect(ownsTask(who, { owner_id, user_address })).toBe(true)
        else expect(who.owners).not.toContain(user_address)
      }),
    )
  })

  test('a user submits for its own addresses only, an admin for every one, and nobody for no one', () => {
    expect([ownerOf(user, 'ST2'), ownerOf(user, 'ST3'), ownerOf(wallet, 'ST2')]).toEqual(['ST2', undefined, undefined])
    expect([ownerOf(admin, 'ST3'), ownerOf(NOBODY, 'ST1'), ownerOf(OPEN, 'ST1')]).toEqual(['ST3', ANONYMOUS, null])
  })

  test("a task of another owner is not a principal's own, whatever user_address it names", () => {
    fc.assert(
      fc.property(address, address, fc.constantFrom(user, wallet), (owner_id, user_address, who) => {
        expect(ownsTask(who, { owner_id, user_address })).toBe(who.owners.includes(owner_id))
      }),
    )
    expect(ownsTask(NOBODY, { owner_id: 'ST1', user_address: 'ST1' })).toBe(false)
  })

  test('a task without a proven owner is for the wallet that owns its user_address, and for no token', () => {
    for (const owner_id of [null, ANONYMOUS]) {
      expect(ownsTask(wallet, { owner_id, user_address: 'ST1' })).toBe(true)
      expect(ownsTask(wallet, { owner_id, user_address: 'ST2' })).toBe(false)
      expect(ownsTask(user, { owner_id, user_address: 'ST1' })).toBe(false)
    }
    expect(ownsTask(NOBODY, { owner_id: null, user_address: 'ST1' })).toBe(false)
  })

  test('a node speaks for itself only', () => {
    const node = principal({ role: 'node', node_id: 'node-001' })
    expect([ownsNode(node, 'node-001'), ownsNode(node, 'node-002'), ownsNode(user, 'node-001')]).toEqual([
      true,
      false,
      false,
    ])
  })
})

describe('what is shown', () => {
  const task = {
    task_id: 't',
    status: 'completed',
    user_address: 'ST1',
    user_input: 'the prompt',
    context: 'the context',
    infer_fee: 5,
    nonce: 3,
    txid: 'tx',
    error: null,
    result: { output: 'the answer', confidence: 1 },
    attempts: [{ attempt: 1, node_id: 'n', error: 'the prompt was: the prompt' }],
  }
  const seen = (role: 'viewer' | 'operator' | 'user'): unknown => {
    const grant = may(principal({ role }), 'taskDetail', policy)
    if (grant === null) throw new Error('not allowed')
    return redact(task, hiddenFields(grant))
  }

  test('a user sees its task whole', () => {
    expect(seen('user')).toEqual(task)
  })

  test('an operator sees no text, also none in the words of a node', () => {
    expect(seen('operator')).toEqual({
      ...task,
      user_input: null,
      context: null,
      result: { output: null, confidence: 1 },
      attempts: [{ attempt: 1, node_id: 'n', error: null }],
    })
  })

  test('a viewer sees neither texts nor who submitted them', () => {
    expect(JSON.stringify(seen('viewer'))).not.toMatch(/ST1|prompt"|answer|tx"/)
    expect(seen('viewer')).toMatchObject({ task_id: 't', status: 'completed', infer_fee: 5, user_address: null })
  })

  test('who is no operator sees no endpoint, key or address of a node', () => {
    const node = { node_id: 'n', endpoint: 'http://10.0.0.1', public_key: '02', node_address: 'ST', status: 'online' }
    const grant = may(principal({ role: 'viewer' }), 'nodes', policy)
    expect(grant && redact([node], hiddenFields(grant))).toEqual([
      { node_id: 'n', endpoint: null, public_key: null, node_address: null, status: 'online' },
    ])
    const all = may(principal({ role: 'operator' }), 'nodes', policy)
    expect(all && redact([node], hiddenFields(all))).toEqual([node])
  })
})

test('the audit names who acted by token, wallet or node, and never by a secret', () => {
  const node = principal({ role: 'node', node_id: 'node-001' })
  expect([user, wallet, admin, node, OPEN, NOBODY].map(actorOf)).toEqual([
    'token:abcd1234',
    'wallet:ST1',
    'token:efgh5678',
    'node:node-001',
    'open',
    'public',
  ])
})
