import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MAX_MESSAGE_BYTES } from '../../src/cluster/port.js'
import {
  createAssembler,
  fenceRecord,
  messagesOf,
  nextTogether,
  readFence,
  readMessage,
  toMessage,
  toMessages,
  wholeUpTo,
} from '../../src/cluster/records.js'

const record = fc.record({
  n: fc.integer({ min: 1, max: 2 ** 40 }),
  epoch: fc.integer({ min: 1, max: 1000 }),
  kind: fc.constantFrom('turn' as const, 'fence' as const),
  body: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
})

test('a record is the same after its messages, in however many parts', () => {
  fc.assert(
    fc.property(record, fc.integer({ min: 1, max: 64 }), (r, most) => {
      const assemble = createAssembler()
      const messages = toMessages(r, most)
      const all = messages.map((message, i) => assemble({ seq: i + 10, message }))
      expect(all.slice(0, -1).flat()).toEqual([])
      expect(all.at(-1)).toEqual([{ ...r, seq: messages.length + 9 }])
    }),
  )
})

test('records that follow each other share a message, and are all at its place', () => {
  fc.assert(
    fc.property(record, fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }), (first, more) => {
      const records = more.map((body, i) => ({ ...first, n: first.n + 1 + i, body: Buffer.from(body) }))
      const message = toMessage([first, ...records])
      expect(createAssembler()({ seq: 9, message })).toEqual([first, ...records].map((r) => ({ ...r, seq: 9 })))
      expect(wholeUpTo(readMessage(message))).toBe(first.n + more.length)
    }),
  )
})

test('whatever the sizes of records are, no message is larger than the log takes', () => {
  const size = fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 2000 }) },
    fc.integer({ min: MAX_MESSAGE_BYTES - 10_000, max: MAX_MESSAGE_BYTES + 10_000 }),
    fc.integer({ min: 0, max: 3 * MAX_MESSAGE_BYTES }),
  )
  const sizes = fc.oneof(fc.array(size, { minLength: 1, maxLength: 12 }), fc.constant(Array<number>(1200).fill(1040)))
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 2 ** 40 }), (all, n) => {
      const records = all.map((bytes, i) => ({
        n: n + i,
        epoch: 999_999,
        kind: 'turn' as const,
        body: Buffer.alloc(bytes, i),
        seq: null,
      }))
      const assemble = createAssembler()
      const found: Buffer[] = []
      for (let at = 0; at < records.length;) {
        const [first, ...more] = nextTogether(records.slice(at))
        if (first === undefined) throw new Error('no record comes next')
        for (const message of messagesOf([first, ...more], 0)) {
          expect(message.length).toBeLessThanOrEqual(MAX_MESSAGE_BYTES)
          found.push(...assemble({ seq: 1, message }).map(({ body }) => body))
        }
        at += 1 + more.length
      }
      expect(found.length).toBe(records.length)
      expect(found.every((body, i) => body.equals(records[i]?.body ?? Buffer.alloc(0)))).toBe(true)
    }),
    { numRuns: 30 },
  )
})

test('a record that was begun and not ended never happened: the same again, or the next fence, takes its place', () => {
  const turn = { n: 7, epoch: 2, kind: 'turn' as const, body: Buffer.from('a longer body') }
  const [first = Buffer.alloc(0), ...rest] = toMessages(turn, 5)
  const assemble = createAssembler()
  let seq = 0
  const take = (message: Uint8Array) => assemble({ seq: ++seq, message })
  expect(take(first)).toEqual([])
  expect(wholeUpTo(readMessage(first))).toBe(6)
  const again = [first, ...rest].map(take)
  expect(again.at(-1)).toEqual([{ ...turn, seq: 1 + again.length }])
  expect(take(first)).toEqual([])
  const fence = fenceRecord(7, 3, { owner: 'c2', url: 'http://c2', run: 'r', schema: 1, all: false })
  const [message = Buffer.alloc(0)] = toMessages(fence)
  expect(take(message)).toMatchObject([{ kind: 'fence', n: 7, epoch: 3 }])
  expect(readFence(fence)).toMatchObject({ owner: 'c2', url: 'http://c2' })
})

test('a part without its beginning, and a message of somebody else, are refused', () => {
  const [, second = Buffer.alloc(0)] = toMessages(
    { n: 1, epoch: 1, kind: 'turn', body: Buffer.from('a longer body') },
    5,
  )
  expect(() => createAssembler()({ seq: 1, message: second })).toThrow(/has no beginning/)
  for (const message of [
    '',
    'hello',
    '{"v":2,"e":1,"n":1,"k":"turn","sizes":[0],"part":[0,1]}\n',
    '{"v":1,"e":0,"n":1,"k":"turn","sizes":[0],"part":[0,1]}\n',
    '{"v":1,"e":1,"n":1,"k":"turn","sizes":[0],"part":[1,1]}\n',
  ])
    expect(() => readMessage(Buffer.from(message)), message).toThrow()
})
