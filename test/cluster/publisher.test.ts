import { expect, onTestFinished, test } from 'vitest'
import { createPublisher } from '../../src/cluster/publisher.js'
import { fenceRecord, toMessages } from '../../src/cluster/records.js'
import type { JournalRecord } from '../../src/store/journal-schema.js'
import { createMemoryLog, type MemoryLog } from '../support/memory-log.js'
import { until } from '../support/wait.js'

const says = { owner: 'c1', url: 'http://127.0.0.1:1', run: 'r', schema: 1, all: true }
const fences = [1, 2].map((epoch) => fenceRecord(epoch, epoch, says))
const turn = { n: 2, epoch: 1, body: Buffer.from('a turn') }

/** The owner of epoch 1, whose fence is the first message. */
function publisherOn(log: MemoryLog) {
  const records = new Map<number, JournalRecord>(fences.slice(0, 1).map((fence) => [fence.n, fence]))
  const ended: string[] = []
  const publisher = createPublisher({
    journal: log.connect().journal,
    outbox: { newest: () => ({ n: Math.max(...records.keys()) }), record: (n) => records.get(n) },
    epoch: 1,
    stored: { n: 1, seq: 1 },
    acknowledged: () => undefined,
    ended: (why) => void ended.push(why),
    healed: () => undefined,
  })
  onTestFinished(publisher.stop)
  return { publisher, ended, records }
}
const append = async (log: MemoryLog, after: number, record: JournalRecord) => {
  const [message = Buffer.alloc(0)] = toMessages(record)
  expect(await log.connect().journal.append(after, message)).toBe(after + 1)
}

test('an owner tells nobody anything before it has seen that nothing is behind its fence', async () => {
  const log = createMemoryLog()
  await append(log, 0, fences[0] as JournalRecord)
  await append(log, 1, fences[1] as JournalRecord)
  const { publisher, ended } = publisherOn(log)
  const told: string[] = []
  publisher.push(null, () => told.push('read'))
  expect(told).toEqual([])
  await until(() => ended.length > 0, 'the end')
  expect(ended).toEqual(['another coordinator has taken over (epoch 2)'])
  expect(told).toEqual([])
})

test('a newer fence ends an owner that has the record too, for its file has followed since', async () => {
  const log = createMemoryLog()
  await append(log, 0, fences[0] as JournalRecord)
  await append(log, 1, fences[1] as JournalRecord)
  const { ended, records } = publisherOn(log)
  records.set(2, fences[1] as JournalRecord)
  await until(() => ended.length > 0, 'the end')
  expect(ended).toEqual(['another coordinator has taken over (epoch 2)'])
})

test('what waits is told in its order, once the log has it', async () => {
  const log = createMemoryLog()
  await append(log, 0, fences[0] as JournalRecord)
  const { publisher, ended } = publisherOn(log)
  const told: string[] = []
  publisher.push(turn, () => told.push('turn'))
  publisher.push(null, () => told.push('read'))
  expect(told).toEqual([])
  await until(() => told.length === 2, 'both')
  expect([told, ended, publisher.stored()]).toEqual([['turn', 'read'], [], { n: 2, seq: 2 }])
})
