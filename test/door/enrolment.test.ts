import { expect, test } from 'vitest'
import { startGuarded } from '../support/access.js'
import { identity } from '../support/identity.js'
import { challenged, connectNode, hello } from '../support/node-session.js'

const invited = {
  auth: {
    mode: 'auto' as const,
    anonymous_submit: false,
    public_stats: true,
    enrolment: 'invite' as const,
    probation_max_fee: 1_000_000,
    legacy_unsigned: [],
  },
}

test('a node comes in with an invite, once and for good; its address is in the audit, and a ban ends its session with 4403', async () => {
  const service = await startGuarded(invited)
  const refused = async (id: string, more: object = {}) => {
    const { node, challenge } = await challenged(service)
    node.say(hello(service, id, challenge.nonce, { ...more }))
    return (await node.closed).code
  }
  expect(await refused('a')).toBe(4403)
  const made = await service.asAdmin.post('/api/v1/nodes/invites', { slots_max: 2 })
  const { token: invite } = made.body?.data as { token: string }
  const node = await connectNode(service, 'a', { invite })
  expect(await refused('b', { invite })).toBe(4403)
  node.close()
  await node.closed
  const again = await connectNode(service, 'a')
  const { body } = await service.asAdmin.get('/api/v1/audit?action=node.enrolled')
  expect(body?.data.entries).toMatchObject([{ actor: 'node:a', address: '127.0.0.1' }])

  const began = performance.now()
  const banned = await service.asAdmin.post('/api/v1/nodes/a/ban', { reason: 'answers nonsense' })
  expect(banned.body?.data).toMatchObject({ public_key: identity('a').publicKey, state: 'banned' })
  expect((await again.closed).code).toBe(4403)
  expect(performance.now() - began).toBeLessThan(2500)
  expect(await refused('a')).toBe(4403)
})

test('a key that an operator has allowed needs no invite, and another can take its place', async () => {
  const service = await startGuarded(invited)
  const allow = await service.asAdmin.post('/api/v1/nodes/keys', { public_key: identity('a').publicKey })
  expect(allow.body?.data).toMatchObject({ state: 'enrolled' })
  const node = await connectNode(service, 'a')
  const next = identity('next')
  const rekeyed = await service.asAdmin.post('/api/v1/nodes/a/rekey', { public_key: next.publicKey })
  expect(rekeyed.body?.data).toMatchObject({ public_key: next.publicKey, node_id: 'a' })
  expect((await node.closed).code).toBe(4403)
  const { node: later, challenge } = await challenged(service)
  later.say(hello(service, 'a', challenge.nonce, {}, next))
  await later.next('session.welcome')
  const none = await service.asAdmin.post('/api/v1/nodes/keys', { public_key: 'none' })
  expect([none.status, none.body?.code]).toEqual([400, 'invalid_request'])
})
