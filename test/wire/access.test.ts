import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { createNetworks } from '../../src/lib/networks.js'
import { auditQuery, cidr, inviteBody, restTokenBody, rotateBody, tokenBody } from '../../src/wire/access.js'

const user = { role: 'user', name: 'w', owners: ['ST1'] }
const problem = (body: unknown, schema: v.GenericSchema = tokenBody): string | null => {
  const result = v.safeParse(schema, body)
  return result.success ? null : result.issues[0].message
}

describe('a token that is asked for', () => {
  test('is filled in', () => {
    expect(v.parse(tokenBody, { role: 'viewer', name: 'wall' })).toEqual({
      role: 'viewer',
      name: 'wall',
      owners: null,
      scopes: [],
      limits: {},
      cidrs: null,
      node_id: null,
    })
    expect(v.parse(tokenBody, { ...user, expires_in: null, limits: { rate: null } })).toMatchObject({
      expires_in: null,
      limits: { rate: null },
    })
  })

  test.each([
    ['no object', [], 'must be a JSON object'],
    ['an unknown role', { ...user, role: 'root' }, 'must be one of admin, operator, user'],
    ['a name that is not seen', { ...user, name: 'a\u202eb' }, 'no control characters and no invisible ones'],
    ['an owner that is empty, as anonymous tasks have it', { ...user, owners: [''] }, 'at least 1 character'],
    ['an owner that is not seen', { ...user, owners: ['ST1\u200b'] }, 'no control characters'],
    ['no owner', { ...user, owners: [] }, 'at least one of its addresses'],
    ['too many owners', { ...user, owners: Array.from({ length: 101 }, String) }, 'at most 100 addresses'],
    ['a limit that there is not', { ...user, limits: { speed: 1 } }, 'must be an object with limits'],
    ['a limit that is none', { ...user, limits: { rate: 0 } }, 'from 1 to 1000000'],
    ['a limit beyond what numbers hold', { ...user, limits: { fee_per_day: 2 ** 53 } }, 'must be an integer'],
    ['half a second', { ...user, expires_in: 0.5 }, 'seconds (3650 days)'],
    ['more than ten years', { ...user, expires_in: 3651 * 86_400 }, 'seconds (3650 days)'],
  ])('with %s is refused', (_, body, message) => {
    expect(problem(body)).toContain(message)
  })

  test('is never an admin over REST', () => {
    const admin = { role: 'admin', name: 'me' }
    expect(problem(admin)).toBe(null)
    expect(problem(admin, restTokenBody)).toContain('an admin is made on the machine of the service')
    expect(problem(user, restTokenBody)).toBe(null)
  })
})

test.each(['10.0.0.0/8', '0.0.0.0/0', '192.0.2.7/32', '2001:db8::/32', '::1/128'])('%s is a network', (text) => {
  expect(problem(text, cidr)).toBe(null)
  expect(() => createNetworks([text])).not.toThrow()
})

test.each(['10.0.0.0', '10/8', '010.0.0.0/8', '10.0.0.0/33', '10.0.0.0/-1', '::ffff:10.0.0.0/104', 'localhost/8', ''])(
  '%j is no network',
  (text) => expect(problem(text, cidr)).toContain('must be a network'),
)

test('every text that is taken for a network can be asked for addresses', () => {
  const part = fc.oneof(fc.nat(300).map(String), fc.constantFrom(':', '.', '/', '::', 'f', ''))
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const text = parts.join('')
      if (problem(text, cidr) === null) createNetworks([text])('10.0.0.1')
    }),
  )
})

test('an invite must end, within 30 days, and an overlap too', () => {
  expect(v.parse(inviteBody, {})).toEqual({ name: 'invite', uses: 1, slots_max: null })
  expect(problem({ expires_in: null }, inviteBody)).toContain('30 days')
  expect(problem({ uses: 0 }, inviteBody)).toContain('from 1 to 10000')
  expect([v.parse(rotateBody, {}), problem({ overlap: -1 }, rotateBody)]).toEqual([
    { overlap: 86_400 },
    expect.stringContaining('30 days'),
  ])
})

test('the audit is read newest first with a filter, or oldest first without one', () => {
  expect(v.parse(auditQuery, { actor: 'cli:me', cursor: '7' })).toEqual({ actor: 'cli:me', cursor: 7, limit: 100 })
  expect(v.parse(auditQuery, { after: '0', limit: '1000' })).toEqual({ after: 0, limit: 1000 })
  expect(problem({ after: '0', actor: 'cli:me' }, auditQuery)).toContain('after: goes without')
  expect(problem({ limit: '1001' }, auditQuery)).toContain('from 1 to 1000')
})
