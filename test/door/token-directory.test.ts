import { expect, test } from 'vitest'
import { createTokenDirectory } from '../../src/door/token-directory.js'
import { makeToken } from '../../src/wire/token.js'

const given = () => {
  const { token, id, hash } = makeToken('usr')
  const known = {
    id,
    hash,
    kind: 'usr' as const,
    owners: ['ST1'],
    node_id: null,
    scopes: [],
    limits: {},
    cidrs: null,
    expires_at: null,
  }
  return { token, id, known }
}

test('the last use of a token is told once, again only after a while, and also when it was revoked meanwhile', () => {
  let now = 1000
  const directory = createTokenDirectory(() => now)
  const a = given()
  const b = given()
  directory.set([a.known, b.known])
  expect(directory.find(a.token)).toMatchObject({ tokenId: a.id })
  expect(directory.takeUsed(300)).toEqual([{ id: a.id, at: 1000 }])
  now = 1100
  directory.find(a.token)
  directory.find(b.token)
  directory.set([a.known])
  expect(directory.find(b.token)).toMatchObject({ ok: false, code: 'unauthorized' })
  // What was told of the first is not forgotten with the change.
  expect(directory.takeUsed(300)).toEqual([{ id: b.id, at: 1100 }])
  now = 1301
  directory.find(a.token)
  expect(directory.takeUsed(300)).toEqual([{ id: a.id, at: 1301 }])
  expect(directory.takeUsed(0)).toEqual([])
})

test('a token that has ended is refused, also when it was shown before', () => {
  let now = 1000
  const directory = createTokenDirectory(() => now)
  const a = given()
  directory.set([{ ...a.known, expires_at: 1010 }])
  expect(directory.find(a.token)).toMatchObject({ tokenId: a.id })
  now = 1010
  expect(directory.find(a.token)).toMatchObject({ ok: false, code: 'unauthorized' })
  expect(directory.goodUntil(a.id)).toBeUndefined()
})
