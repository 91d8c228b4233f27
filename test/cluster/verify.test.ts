import { describe, expect, test } from 'vitest'
import { fenceRecord, toMessage, toMessages } from '../../src/cluster/records.js'
import { createVerifier, type JournalFindings } from '../../src/cluster/verify.js'
import type { JournalRecord } from '../../src/store/journal-schema.js'

const turn = (n: number, epoch: number, more = ''): JournalRecord => ({
  seq: null,
  n,
  epoch,
  kind: 'turn',
  body: Buffer.from(JSON.stringify({ sql: ['INSERT INTO t VALUES (?)'], run: [[0, `${n}${more}`]] })),
})
const fence = (n: number, epoch: number): JournalRecord =>
  fenceRecord(n, epoch, { owner: 'c1', url: 'http://c1', run: 'r', schema: 1, all: n === 1 })
const whole = (...records: JournalRecord[]): Buffer[] => records.flatMap((record) => toMessages(record))
/** A record in parts of 20 bytes. */
const parts = (record: JournalRecord): Buffer[] => toMessages(record, 20)

function verified(
  messages: readonly Uint8Array[],
  { first = 1, ours = [], stored = null }: { first?: number; ours?: JournalRecord[]; stored?: number | null } = {},
): JournalFindings {
  const verifier = createVerifier({ first, ours: (n) => ours.find((record) => record.n === n) })
  messages.forEach((message, i) => verifier.next({ seq: first + i, message }))
  return verifier.end(stored)
}
const findings = (...of: Parameters<typeof verified>): string[] => verified(...of).findings

describe('a journal in which nothing is wrong', () => {
  test('is counted, its fences and epochs too', () => {
    const records = [fence(1, 1), turn(2, 1), turn(3, 1), fence(4, 2), turn(5, 2)]
    expect(verified(whole(...records), { ours: records.slice(2), stored: 5 })).toMatchObject({
      messages: 5,
      records: 5,
      fences: 2,
      unfinished: 0,
      first: { n: 1, epoch: 1 },
      last: { n: 5, epoch: 2 },
      compared: 3,
      findings: [],
    })
  })

  test('may have several records in a message, which are looked at one by one', () => {
    const messages = [...whole(fence(1, 1)), toMessage([turn(2, 1), turn(3, 1)]), ...whole(turn(4, 1))]
    expect(verified(messages, { ours: [turn(3, 1)] })).toMatchObject({
      messages: 3,
      records: 4,
      compared: 1,
      findings: [],
    })
    expect(findings([...whole(fence(1, 1)), toMessage([turn(3, 1), turn(4, 1)])])[0]).toContain('record 2 is missing')
    expect(findings(messages, { ours: [turn(3, 1, 'x')] })[0]).toContain('record 3 of epoch 1 is another in the log')
  })

  test('may have records in parts, and begin in the middle of one where it was truncated', () => {
    const messages = [...parts(turn(7, 3)).slice(2), ...parts(turn(8, 3)), ...whole(fence(9, 4))]
    expect(verified(messages, { first: 100 })).toMatchObject({ records: 2, findings: [], first: { n: 8 } })
  })

  test('may have a record that its owner did not end: a fence, or the same again, takes its place', () => {
    const begun = parts(turn(2, 1)).slice(0, 2)
    expect(verified([...whole(fence(1, 1)), ...begun, ...whole(fence(2, 2))])).toMatchObject({
      unfinished: 1,
      findings: [],
    })
    expect(findings([...whole(fence(1, 1)), ...begun, ...parts(turn(2, 1))])).toEqual([])
    // Its end may be on its way.
    expect(verified([...whole(fence(1, 1)), ...begun])).toMatchObject({ unfinished: 1, findings: [] })
  })

  test('may end before what the file has not sent yet', () => {
    expect(findings(whole(fence(1, 1)), { ours: [fence(1, 1), turn(2, 1)], stored: 1 })).toEqual([])
  })
})

test.each([
  ['a record that is missing', whole(fence(1, 1), turn(3, 1)), 'record 2 is missing: record 3 follows'],
  ['a record that is there twice', whole(fence(1, 1), turn(2, 1), turn(2, 1)), 'record 2 is there once more'],
  ['a record of a former epoch', whole(fence(1, 1), fence(2, 2), turn(3, 1)), 'epoch 1, and the fence before it of 2'],
  ['a record of an epoch without a fence', whole(fence(1, 1), turn(2, 2)), 'epoch 2, and the fence before it of 1'],
  ['a fence whose epoch falls', whole(fence(1, 2), fence(2, 2)), 'the fence of epoch 2, after records of epoch 2'],
  ['a journal that begins without a fence', whole(turn(1, 1)), 'record 1 comes before any fence'],
  [
    'an unfinished record that another follows',
    [...whole(fence(1, 1)), ...parts(turn(2, 1)).slice(0, 1), ...whole(turn(3, 1))],
    'record 2 was begun and never ended',
  ],
  [
    'a part that is missing',
    [...whole(fence(1, 1)), ...parts(turn(2, 1)).toSpliced(1, 1)],
    'part 2 of record 2, and what comes before it is not there',
  ],
  ['a message of somebody else', [...whole(fence(1, 1)), Buffer.from('hello')], 'message 2 cannot be read'],
  [
    'a record that is none',
    whole(fence(1, 1), { ...turn(2, 1), body: Buffer.from('{"sql":["DROP TABLE t"],"run":[]}') }),
    'record 2 cannot be read',
  ],
])('%s is found', (_, messages, finding) => {
  expect(findings(messages)[0]).toContain(finding)
})

test('messages that the log skips are found', () => {
  const verifier = createVerifier({ first: 1, ours: () => undefined })
  const [a = Buffer.alloc(0), b = Buffer.alloc(0)] = whole(fence(1, 1), turn(2, 1))
  verifier.next({ seq: 1, message: a })
  verifier.next({ seq: 3, message: b })
  expect(verifier.end(null).findings).toEqual(['message 2 is missing: message 3 follows'])
})

test('what the file says otherwise is found, and what the log has lost', () => {
  const log = whole(fence(1, 1), turn(2, 1))
  expect(findings(log, { ours: [turn(2, 1, 'x')] })).toEqual([
    'record 2 of epoch 1 is another in the log than in the file',
  ])
  expect(findings(log, { ours: [turn(2, 3)] })[0]).toContain('is of epoch 1 in the log, and of 3 in the file')
  expect(findings(log, { stored: 3 })[0]).toContain(
    'lost what it acknowledged: it ends with record 2, and had all up to 3',
  )
})

test('of many findings the first are told, and the others counted', () => {
  const { findings, more } = verified(Array.from({ length: 80 }, () => Buffer.from('x')))
  expect([findings.length, more]).toEqual([50, 30])
})
