import fc from 'fast-check'
import { expect, test } from 'vitest'
import { auditHash, createAuditCheck, EMPTY_AUDIT, type AuditLink } from '../../src/wire/audit-chain.js'

function chain(length: number): AuditLink[] {
  const rows: AuditLink[] = []
  for (let seq = 1; seq <= length; seq++) {
    const row = {
      seq,
      at_ms: 1000 * seq,
      actor: 'cli:me',
      address: null,
      action: 'node.drained',
      subject: `node-${seq}`,
      detail: '{}',
      request_id: null,
      outcome: 'done',
      prev_hash: rows.at(-1)?.hash ?? EMPTY_AUDIT.hash,
    }
    rows.push({ ...row, hash: auditHash(row) })
  }
  return rows
}

/** The number of the first row that does not fit; null when all do. */
function firstFault(rows: readonly AuditLink[], last = 0): number | null {
  const check = createAuditCheck()
  for (const row of rows) {
    const fault = check.next(row)
    if (fault !== null) return fault.seq
  }
  return check.end(Math.max(last, rows.at(-1)?.seq ?? 0))?.seq ?? null
}

test('the hash of a row is SHA-256 of its fields and of the hash before it, as anybody can compute it', () => {
  expect(auditHash(chain(1)[0] ?? fail())).toBe(
    // printf '["00…00",1,1000,"cli:me",null,"node.drained","node-1","{}",null,"done"]' | sha256sum, with 64 zeros
    '98399d5d3ec29829190e3129e5d2eba4cdeaec6f2849b3ab121e32fc8bff9d74',
  )
})

test('an audit that nobody has touched fits, also an empty one', () => {
  fc.assert(fc.property(fc.nat(20), (n) => firstFault(chain(n)) === null))
})

test('one row that is edited, missing or moved is found, and the first of them is named', () => {
  const edits: ((row: AuditLink) => AuditLink)[] = [
    (r) => ({ ...r, at_ms: r.at_ms + 1 }),
    (r) => ({ ...r, actor: 'cli:other' }),
    (r) => ({ ...r, address: '10.0.0.1' }),
    (r) => ({ ...r, action: 'node.resumed' }),
    (r) => ({ ...r, subject: null }),
    (r) => ({ ...r, detail: '{"a":1}' }),
    (r) => ({ ...r, request_id: 'x' }),
    (r) => ({ ...r, outcome: 'refused' }),
    (r) => ({ ...r, prev_hash: 'f'.repeat(64) }),
    (r) => ({ ...r, hash: 'f'.repeat(64) }),
  ]
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(11), fc.constantFrom(...edits), (length, at, edit) => {
      const rows = chain(length)
      const i = at % length
      expect(firstFault(rows.map((row, j) => (j === i ? edit(row) : row)))).toBe(i + 1)
      expect(
        firstFault(
          rows.filter((_, j) => j !== i),
          length,
        ),
      ).toBe(i + 1)
      if (i + 1 < length) {
        const moved = rows.map((row, j) => ({ ...(rows[j === i ? i + 1 : j === i + 1 ? i : j] ?? row), seq: row.seq }))
        expect(firstFault(moved)).toBe(i + 1)
      }
    }),
  )
})

test('a row that is edited together with its hash is found by the row after it', () => {
  const rows = chain(3)
  const edited = { ...(rows[1] ?? fail()), subject: 'another' }
  rows[1] = { ...edited, hash: auditHash(edited) }
  expect(firstFault(rows)).toBe(3)
})

function fail(): never {
  throw new Error('no row')
}
