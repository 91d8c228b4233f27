import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createAccess } from '../../src/store/access.js'
import { openDatabase } from '../../src/store/open.js'
import type { TokenKey } from '../../src/store/token-changes.js'
import type { TokenBody } from '../../src/wire/access.js'
import { tempDir } from '../support/temp-dir.js'

const DAY = 86_400
const by = (seconds: number) => ({ actor: 'cli:me', address: null, request_id: null, at_ms: seconds * 1000 })

function opened() {
  const { db, close } = openDatabase(join(tempDir(), 'inference.db'))
  onTestFinished(close)
  const access = createAccess(db)
  const change = <T>(action: () => T): T => db.transaction(action)()
  return { db, access, change }
}
let made = 0
const key = (): TokenKey => ({ id: `token${String(++made).padStart(3, '0')}`, hash: `hash-${made}` })
const user = (more: Partial<TokenBody> = {}): TokenBody => ({
  role: 'user',
  name: 'wallet-app',
  owners: ['ST1', 'ST2'],
  scopes: [],
  limits: { rate: 5, models: ['llama'] },
  cidrs: ['10.0.0.0/8'],
  node_id: null,
  ...more,
})

test('a token comes back from the file as it was made, and its row holds no secret', () => {
  const { db, access, change } = opened()
  const k = key()
  const view = change(() => access.createToken(user(), k, by(1000)))
  expect(view).toEqual({
    id: k.id,
    role: 'user',
    name: 'wallet-app',
    state: 'active',
    owners: ['ST1', 'ST2'],
    scopes: [],
    limits: { rate: 5, models: ['llama'] },
    cidrs: ['10.0.0.0/8'],
    node_id: null,
    uses_left: null,
    created_at: 1000,
    created_by: 'cli:me',
    expires_at: 1000 + 365 * DAY,
    revoked_at: null,
    replaced_by: null,
    last_used_at: null,
  })
  expect(access.tokens.good(1000)).toEqual({ tokens: [access.tokens.get(k.id)], broken: [] })
  expect(access.tokens.get(k.id)).toMatchObject({ hash: k.hash, kind: 'usr', owners: ['ST1', 'ST2'] })
  expect(db.prepare('SELECT action, actor, subject FROM audit').all()).toEqual([
    { action: 'token.created', actor: 'cli:me', subject: k.id },
  ])
  expect(JSON.stringify(db.prepare('SELECT * FROM audit').all())).not.toContain(k.hash)
})

test('how long a token is good can be said, for ever too; else its kind says it', () => {
  const { access, change } = opened()
  const expiry = (more: Partial<TokenBody>) =>
    change(() => access.createToken(user({ owners: null, limits: {}, ...more }), key(), by(0))).expires_at
  expect([expiry({ role: 'admin' }), expiry({ role: 'viewer' })]).toEqual([90 * DAY, null])
  expect([expiry({ role: 'admin', expires_in: 60 }), expiry({ role: 'admin', expires_in: null })]).toEqual([60, null])
})

test('a token is good until it expires or is revoked, and is listed ever after', () => {
  const { access, change } = opened()
  const [a, b] = [key(), key()]
  change(() => access.createToken(user({ expires_in: 100 }), a, by(0)))
  change(() => access.createToken(user({ expires_in: 200 }), b, by(0)))
  const good = (now: number) => access.tokens.good(now).tokens.map((t) => t.id)
  expect([good(99), good(100)]).toEqual([[a.id, b.id], [b.id]])
  expect(change(() => access.revokeToken(b.id, by(50)))).toMatchObject({ value: { state: 'revoked', revoked_at: 50 } })
  expect(good(99)).toEqual([a.id])
  // Again: nothing changes, and the audit has it once.
  expect(change(() => access.revokeToken(b.id, by(60)))).toMatchObject({ value: { revoked_at: 50 } })
  expect(access.audit.page({ actor: null, action: 'token.revoked', subject: null }, null, 10).rows).toHaveLength(1)
  expect(change(() => access.revokeToken('nobody00', by(60)))).toMatchObject({ ok: false, code: 'not_found' })
  expect(access.tokens.page(null, 10).tokens.map((t) => t.id)).toEqual([b.id, a.id])
  expect(access.tokens.counts(99)).toEqual({ made: 2, good: 1 })
})

test('the list of tokens has pages, newest first', () => {
  const { access, change } = opened()
  const ids = Array.from({ length: 5 }, () => change(() => access.createToken(user(), key(), by(0))).id).reverse()
  const first = access.tokens.page(null, 2)
  const second = access.tokens.page(first.next, 2)
  const third = access.tokens.page(second.next, 2)
  expect([first, second, third].flatMap((p) => p.tokens.map((t) => t.id))).toEqual(ids)
  expect(third.next).toBe(null)
})

test('a rotated token is good beside its successor for as long as was said, and never longer than it was', () => {
  const { access, change } = opened()
  const [a, b, c] = [key(), key(), key()]
  change(() => access.createToken(user({ expires_in: 1000 }), a, by(0)))
  const kinds: string[] = []
  const rotated = change(() =>
    access.rotateToken(
      a.id,
      (kind) => {
        kinds.push(kind)
        return b
      },
      100,
      by(500),
    ),
  )
  expect(kinds).toEqual(['usr'])
  expect(rotated).toMatchObject({
    value: {
      old: { id: a.id, state: 'replaced', replaced_by: b.id, expires_at: 600 },
      next: { id: b.id, state: 'active', owners: ['ST1', 'ST2'], created_at: 500, expires_at: 1500, replaced_by: null },
    },
  })
  const good = (now: number) => access.tokens.good(now).tokens.map((t) => t.id)
  expect([good(599), good(600), good(1499), good(1500)]).toEqual([[a.id, b.id], [b.id], [b.id], []])
  expect(change(() => access.rotateToken(a.id, key, 0, by(550)))).toMatchObject({
    ok: false,
    message: `${a.id} is replaced and cannot be rotated: rotate the one that took its place`,
  })
  change(() => access.rotateToken(b.id, () => c, 5000, by(1400)))
  expect(access.tokens.get(b.id)).toMatchObject({ expires_at: 1500 })
  expect(access.audit.page({ actor: null, action: null, subject: a.id }, null, 10).rows.map((r) => r.action)).toEqual([
    'token.rotated',
    'token.created',
  ])
})

test('an invite lets in as many nodes as it says, and none once it has expired', () => {
  const { access, change } = opened()
  const k = key()
  const view = change(() => access.createInvite({ name: 'invite', uses: 2, slots_max: 8, expires_in: 100 }, k, by(0)))
  expect(view).toMatchObject({ role: 'invite', uses_left: 2, expires_at: 100, limits: { slots_max: 8 } })
  const enrol = (public_key: string, at: number) => change(() => access.enrolKey(public_key, 'n', k.id, by(at)))
  expect(enrol('02aa', 10)).toMatchObject({ value: { state: 'enrolled', invited_by: k.id, slots_max: 8 } })
  expect(enrol('02aa', 10)).toMatchObject({ ok: true }) // the same key takes no second use
  expect(enrol('02bb', 99)).toMatchObject({ ok: true })
  expect(enrol('02cc', 99)).toMatchObject({ ok: false, code: 'forbidden' })
  expect(change(() => access.rotateToken(k.id, key, 0, by(50)))).toMatchObject({ ok: false, code: 'conflict' })
  const late = key()
  change(() => access.createInvite({ name: 'invite', uses: 1, slots_max: null, expires_in: 100 }, late, by(0)))
  expect(change(() => access.enrolKey('02dd', 'n', late.id, by(100)))).toMatchObject({ ok: false })
  // Invites are no reason to ask everybody for a token.
  expect(access.tokens.counts(10)).toEqual({ made: 0, good: 0 })
})

test('a row that was changed by hand opens nothing, and is named', () => {
  const { db, access, change } = opened()
  const [a, b] = [key(), key()]
  for (const k of [a, b]) change(() => access.createToken(user(), k, by(0)))
  db.prepare("UPDATE tokens SET owners = 'ST1' WHERE id = ?").run(a.id)
  expect(access.tokens.good(1)).toMatchObject({ tokens: [{ id: b.id }], broken: [a.id] })
  expect(() => access.tokens.get(a.id)).toThrow(`token ${a.id}: its row`)
})

test('what owners have submitted in a day adds up, stays within numbers, and old days go', () => {
  const { access } = opened()
  const { quotas } = access
  quotas.add({ owner: 'ST1', day: 7, tasks: 1, fee: 10, bytes: 100 })
  quotas.add({ owner: 'ST1', day: 7, tasks: 2, fee: Number.MAX_SAFE_INTEGER, bytes: 200 })
  quotas.add({ owner: 'ST1', day: 8, tasks: 5, fee: 5, bytes: 5 })
  quotas.add({ owner: '', day: 7, tasks: 9, fee: 9, bytes: 9 })
  expect(quotas.get('ST1', 7)).toEqual({ tasks: 3, fee: Number.MAX_SAFE_INTEGER, bytes: 300 })
  expect(quotas.get('ST2', 7)).toEqual({ tasks: 0, fee: 0, bytes: 0 })
  expect([quotas.prune(8), quotas.prune(8)]).toEqual([2, 0])
  expect([quotas.get('ST1', 7).tasks, quotas.get('ST1', 8).tasks]).toEqual([0, 5])
})
