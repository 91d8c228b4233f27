import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  createAssembler,
  fenceRecord,
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
