import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createAuditTable, type AuditFilter } from '../../src/store/audit.js'
import { openDatabase } from '../../src/store/open.js'
import { Database } from '../../src/store/sqlite.js'
import { tempDir } from '../support/temp-dir.js'

const by = { actor: 'cli:me', address: null, request_id: null, at_ms: 1_800_000_000_000 }
const anything: AuditFilter = { actor: null, action: null, subject: null }

/** An audit with so many rows, about nodes. */
function audited(rows: number, file = join(tempDir(), 'inference.db')) {
  const { db, close } = openDatabase(file)
  onTestFinished(() => void (db.open && close()))
  const audit = createAuditTable(db)
  const add = (subject: string) =>
    db.transaction(() => audit.append({ action: 'node.drained', subject, detail: {} }, by))()
  for (let i = 1; i <= rows; i++) add(`node-${i}`)
  return { db, audit, add, file }
}

test('rows are numbered and chained, and the whole fits', () => {
  const { audit } = audited(3)
  const { rows } = audit.page(anything, null, 10)
  expect(rows.map((r) => [r.seq, r.subject])).toEqual([
    [3, 'node-3'],
    [2, 'node-2'],
    [1, 'node-1'],
  ])
  expect(rows[0]?.prev_hash).toBe(rows[1]?.hash)
  expect(audit.verify()).toEqual({ head: { seq: 3, hash: rows[0]?.hash }, fault: null })
  expect(audited(0).audit.verify()).toEqual({ head: { seq: 0, hash: '0'.repeat(64) }, fault: null })
})

test('a row goes with its transaction: it is undone with it, and cannot be without one', () => {
  const { db, audit, add } = audited(1)
  expect(() =>
    db.transaction(() => {
      audit.append({ action: 'node.resumed', subject: 'x', detail: {} }, by)
      throw new Error('undone')
    })(),
  ).toThrow('undone')
  expect(() => audit.append({ action: 'node.resumed', subject: 'x', detail: {} }, by)).toThrow('transaction')
  add('after')
  expect(audit.verify()).toMatchObject({ head: { seq: 2 }, fault: null })
})

test('two programs that write by turns make one chain', () => {
  const { audit, add, file } = audited(1)
  const other = new Database(file)
  onTestFinished(() => void other.close())
  const theirs = createAuditTable(other)
  for (let i = 0; i < 3; i++) {
    other.transaction(() => theirs.append({ action: 'node.resumed', subject: 'x', detail: {} }, by)).immediate()
    add('y')
  }
  expect(audit.verify()).toMatchObject({ head: { seq: 7 }, fault: null })
  expect(theirs.verify()).toEqual(audit.verify())
})

test.each([
  ["UPDATE audit SET actor = 'cli:somebody' WHERE seq = 3", 3, 'row 3 was changed'],
  ['UPDATE audit SET detail = \'{"a":1}\' WHERE seq = 5', 5, 'row 5 was changed'],
  ['DELETE FROM audit WHERE seq = 2', 2, 'row 2 is missing'],
  ['DELETE FROM audit WHERE seq IN (1, 2)', 1, 'rows 1 to 2 are missing'],
  ['DELETE FROM audit WHERE seq >= 4', 4, 'rows 4 to 5 are missing'],
  ['DELETE FROM audit', 1, 'rows 1 to 5 are missing'],
  [
    'UPDATE audit SET seq = 9 WHERE seq = 1; UPDATE audit SET seq = 1 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 9',
    1,
    'row 1 was changed, or is in the place of another',
  ],
])('after %s the first row that does not fit is %i', (tampering, seq, what) => {
  const { db, audit } = audited(5)
  db.exec(tampering)
  expect(audit.verify().fault).toEqual({ seq, what: expect.stringContaining(what) })
})

test('an audit that was written anew, or cut with its counter, is seen by who has noted a row of it', () => {
  const { db, audit, add } = audited(3)
  const noted = audit.verify().head
  add('later')
  expect(audit.verify(noted).fault).toBe(null)
  db.exec("DELETE FROM audit WHERE seq >= 3; UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit'")
  expect(audit.verify().fault).toBe(null)
  expect(audit.verify(noted).fault).toEqual({ seq: 3, what: 'row 3 is missing' })
  add('another')
  expect(audit.verify().fault).toBe(null)
  expect(audit.verify(noted).fault).toEqual({ seq: 3, what: expect.stringContaining('not the one that was noted') })
})

test('a page has what is asked for, newest first, and goes on where the one before ended', () => {
  const { db, audit, add } = audited(5)
  db.transaction(() =>
    audit.append({ action: 'node.resumed', subject: 'node-2', detail: {} }, { ...by, actor: 'you' }),
  )()
  add('node-2')
  const seqs = (filter: Partial<AuditFilter>, before: number | null = null, limit = 10) => {
    const { rows, next } = audit.page({ ...anything, ...filter }, before, limit)
    return { seqs: rows.map((r) => r.seq), next }
  }
  expect(seqs({}, null, 3)).toEqual({ seqs: [7, 6, 5], next: 5 })
  expect(seqs({}, 5, 3)).toEqual({ seqs: [4, 3, 2], next: 2 })
  expect(seqs({}, 2, 3)).toEqual({ seqs: [1], next: null })
  expect(seqs({ subject: 'node-2' })).toEqual({ seqs: [7, 6, 2], next: null })
  expect(seqs({ subject: 'node-2', actor: 'you' })).toEqual({ seqs: [6], next: null })
  expect(seqs({ action: 'node.resumed' })).toEqual({ seqs: [6], next: null })
  expect(audit.after(4, 2).map((r) => r.seq)).toEqual([5, 6])
})
