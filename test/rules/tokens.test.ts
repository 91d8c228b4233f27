import fc from 'fast-check'
import { expect, test } from 'vitest'
import { kindOfRole } from '../../src/wire/access.js'
import { tokenKinds } from '../../src/wire/token.js'
import {
  dayOf,
  defaultLimits,
  defaultLifetime,
  isGood,
  limitsOf,
  roleOfKind,
  tokenState,
} from '../../src/rules/tokens.js'

const life = { expires_at: null, revoked_at: null, replaced_by: null, uses_left: null }

test('every role of a token has a kind, and only invites have no role', () => {
  for (const [role, kind] of Object.entries(kindOfRole)) expect(roleOfKind[kind]).toBe(role)
  expect(Object.keys(roleOfKind).sort()).toEqual([...tokenKinds].sort())
  expect(tokenKinds.filter((kind) => roleOfKind[kind] === null)).toEqual(['inv'])
})

test('an admin is good for 90 days, a user for a year, an invite for a day; who only looks until it is revoked', () => {
  const days = Object.entries(defaultLifetime).map(([kind, s]) => [kind, s === null ? null : s / 86_400])
  expect(Object.fromEntries(days)).toEqual({ adm: 90, opr: 90, usr: 365, viw: null, met: null, nod: null, inv: 1 })
})

test('a token is good until the second it expires, and never once it was revoked or used up', () => {
  expect(tokenState(life, 100)).toBe('active')
  expect(tokenState({ ...life, expires_at: 101 }, 100)).toBe('active')
  expect(tokenState({ ...life, expires_at: 100 }, 100)).toBe('expired')
  expect(tokenState({ ...life, expires_at: 101, replaced_by: 'x' }, 100)).toBe('replaced')
  expect(tokenState({ ...life, expires_at: 101, replaced_by: 'x' }, 101)).toBe('expired')
  expect(tokenState({ ...life, revoked_at: 99, expires_at: 50 }, 100)).toBe('revoked')
  expect(tokenState({ ...life, uses_left: 0 }, 100)).toBe('used')
  expect(tokenState({ ...life, uses_left: 1 }, 100)).toBe('active')
})

test('a token that is not good never becomes good again', () => {
  const time = fc.option(fc.integer({ min: 0, max: 1000 }))
  fc.assert(
    fc.property(
      time,
      time,
      fc.constantFrom(null, 'x'),
      fc.nat(1000),
      fc.nat(1000),
      (expires_at, revoked_at, by, a, b) => {
        const token = { expires_at, revoked_at, replaced_by: by, uses_left: null }
        if (!isGood(token, a)) expect(isGood(token, a + b)).toBe(false)
      },
    ),
  )
})

test('a limit that a token does not have is the default, and one that is null does not hold', () => {
  expect(limitsOf({})).toEqual(defaultLimits)
  expect(limitsOf({ rate: 5, max_pending: null, slots_max: 8 })).toEqual({
    ...defaultLimits,
    rate: 5,
    max_pending: null,
  })
})

test('a day of a quota begins at midnight, UTC', () => {
  const noon = Date.UTC(2026, 10, 25, 12) / 1000
  expect([dayOf(noon - 12 * 3600 - 1), dayOf(noon - 12 * 3600), dayOf(noon + 12 * 3600 - 1)]).toEqual([
    dayOf(noon) - 1,
    dayOf(noon),
    dayOf(noon),
  ])
})
