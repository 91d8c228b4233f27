import { expect, test } from 'vitest'
import { may, type AccessPolicy } from '../../src/rules/access.js'
import { makeToken } from '../../src/wire/token.js'
import { kindOfRole } from '../../src/wire/access.js'
import { rights, roleOfToken, type Right, type Role } from '../../web/src/state/rights.js'

const policy: AccessPolicy = { anonymousSubmit: false, publicStats: false }
/** What the page asks for, all of it: an admin's. */
const all = rights.admin

test('the page shows each role what the service lets it do, and nothing else', () => {
  expect(new Set(all).size).toBe(15)
  const roles = Object.keys(rights) as Role[]
  expect(roles).toHaveLength(7)
  for (const role of roles) {
    // What a node may do, it does by itself: its token is for a program.
    const own: readonly Right[] = role === 'node' ? ['drain', 'resume'] : []
    const allowed = all.filter((right) => may({ role, scopes: [] }, right, policy) !== null && !own.includes(right))
    expect([role, [...rights[role]].sort()]).toEqual([role, [...allowed].sort()])
  }
})

test('a token says which role it has', () => {
  for (const [role, kind] of Object.entries(kindOfRole)) expect(roleOfToken(makeToken(kind).token)).toBe(role)
  for (const none of ['', 'sis_', makeToken('inv').token, 'Bearer sis_adm_x', 'hello'])
    expect(roleOfToken(none)).toBeNull()
})
