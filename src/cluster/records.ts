import * as v from 'valibot'
import type { JournalRecord } from '../store/journal-schema.js'
import { Diverged } from '../store/replay.js'
import type { StoredRecord } from '../store/replica.js'
import { MAX_MESSAGE_BYTES, type JournalMessage } from './port.js'

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1))
const size = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const kind = v.picklist(['turn', 'fence'])
/** Records that share a message, at most. */
export const MAX_TOGETHER = 500
/** The first line of a message. */
const header = v.strictObject({
  v: v.literal(1),
  /** The epoch of the ownership it was written in. */
  e: count,
  /** The number of its first record: from 1, without gaps. */
  n: count,
  k: kind,
  /** The bytes of each of its records, or of the part of the one that it holds. */
  sizes: v.pipe(v.array(size), v.minLength(1), v.maxLength(MAX_TOGETHER)),
  /** Which part of its record it is, from 0, and of how many; [0, 1] where it holds all of its records. */
  part: v.strictTuple([size, count]),
})
type Header = v.InferOutput<typeof header>
/** A first line is not longer than this, bytes. */
const MAX_HEADER_BYTES = 8192
/** What of records a message holds at most, bytes: it has a first line too. */
export const MAX_BODY_BYTES = MAX_MESSAGE_BYTES - MAX_HEADER_BYTES
const NEWLINE = 10

/** What a fence says: who owns the work from here on. */
export const fence = v.strictObject({
  owner: v.pipe(v.string(), v.maxLength(64)),
  url: v.pipe(v.string(), v.maxLength(2048)),
  /** The run of the coordinator's process, random: nobody else has written this fence. */
  run: v.pipe(v.string(), v.maxLength(64)),
  /** The newest migration that the owner's file has, Unix ms. */
  schema: v.pipe(v.number(), v.safeInteger()),
  /** The journal begins here, with an empty file: it holds everything. */
  all: v.boolean(),
})
export type Fence = v.InferOutput<typeof fence>

/** @throws when the record is no fence, or its body none */
export const readFence = (record: Pick<JournalRecord, 'kind' | 'body'>): Fence => {
  if (record.kind !== 'fence') throw new Error('this record is no fence')
  return v.parse(fence, JSON.parse(Buffer.from(record.body).toString()))
}

export const fenceRecord = (n: number, epoch: number, says: Fence): JournalRecord => ({
  n,
  epoch,
  kind: 'fence',
  body: Buffer.from(JSON.stringify(says)),
  seq: null,
})

/** A record, wherever in the log it is. */
export type SentRecord = Omit<JournalRecord, 'seq'>

const messageOf = (first: Header, bodies: readonly Uint8Array[]): Buffer =>
  Buffer.concat([Buffer.from(`${JSON.stringify(first)}\n`), ...bodies])

/** The records of a file behind `n`, up to `newest`, or to the first that it does not have. */
export function* recordsBehind(
  n: number,
  newest: number,
  recordAt: (n: number) => JournalRecord | undefined,
): Generator<JournalRecord> {
  for (let next = n + 1; next <= newest; next++) {
    const record = recordAt(next)
    if (record === undefined) return
    yield record
  }
}

/**
 * Which of these records come next in one message: records of one kind and epoch, not too many and not too large, and the first in any
 * case. What was in the log before, and is given to it again, shares a message with whom it did: all behind it has its former place then.
 * @param from the records in order, as long as they are asked for
 */
export function nextTogether(from: Iterable<JournalRecord>): JournalRecord[] {
  const records: JournalRecord[] = []
  let bytes = 0
  for (const record of from) {
    bytes += record.body.length
    const { kind, epoch, seq } = records[0] ?? record
    const isLike = record.kind === kind && record.epoch === epoch && record.seq === seq
    if (records.length > 0 && (!isLike || (seq === null && bytes > MAX_BODY_BYTES))) break
    records.push(record)
    if (records.length === MAX_TOGETHER) break
  }
  return records
}

/** The messages of records that come together. @param begun so many of them are in the log already */
export const messagesOf = ([first, ...more]: readonly [JournalRecord, ...JournalRecord[]], begun: number): Buffer[] =>
  more.length > 0 ? [toMessage([first, ...more])] : toMessages(first).slice(begun)

/** How many messages of this record are there already, when the log ends with `end`: it was begun, and goes on behind that. */
export const partsThere = (record: SentRecord, { n, epoch, part, of }: Part): number =>
  record.n === n && record.epoch === epoch && part < of - 1 && toMessages(record).length === of ? part + 1 : 0

/** One message of several records, which follow each other. */
export function toMessage(records: readonly [SentRecord, ...SentRecord[]]): Buffer {
  const [{ n, epoch, kind }] = records
  const bodies = records.map(({ body }) => body)
  return messageOf({ v: 1, e: epoch, n, k: kind, sizes: bodies.map((body) => body.length), part: [0, 1] }, bodies)
}

/** A record as messages of at most `most` bytes and a header, in order. */
export function toMessages({ n, epoch, kind, body }: SentRecord, most = MAX_BODY_BYTES): Buffer[] {
  const of = Math.max(1, Math.ceil(body.length / most))
  return Array.from({ length: of }, (_, i) => {
    const part = body.subarray(i * most, (i + 1) * most)
    return messageOf({ v: 1, e: epoch, n, k: kind, sizes: [part.length], part: [i, of] }, [part])
  })
}

/** What of the journal a message is. */
export interface Part {
  /** Its first record, and its last. */
  n: number
  last: number
  epoch: number
  kind: JournalRecord['kind']
  part: number
  of: number
  bodies: Uint8Array[]
}

/** The newest record that is whole once this message is there. */
export const wholeUpTo = ({ n, last, part, of }: Part): number => (part === of - 1 ? last : n - 1)

/** @throws when the message is none of ours: somebody else writes to the log */
export function readMessage(message: Uint8Array): Part {
  const end = message.subarray(0, MAX_HEADER_BYTES).indexOf(NEWLINE)
  if (end < 0) throw new Error('a message of the journal has no header: somebody else writes to its log')
  const { e, n, k, sizes, part } = v.parse(header, JSON.parse(Buffer.from(message.subarray(0, end)).toString()))
  const [i, of] = part
  if (i >= of || (of > 1 && sizes.length > 1)) throw new Error(`a message of the journal is part ${i} of ${of}`)
  let from = end + 1
  const bodies = sizes.map((bytes) => message.subarray(from, (from += bytes)))
  if (from !== message.length) throw new Error(`the message of record ${n} has ${message.length - from} bytes too many`)
  return { n, last: n + sizes.length - 1, epoch: e, kind: k, part: i, of, bodies }
}

/** The most parts of a record: bodies of several messages are kept in memory until the last one is there. */
export const MAX_PARTS = 8192

/**
 * Puts records together from their messages, in the order of the log. A record that was begun and not ended, because its owner died in
 * it, never happened: the next begins with its first part, or another record does.
 * @returns the records that a message ends, all of them at its place
 */
export function createAssembler(): (message: JournalMessage) => StoredRecord[] {
  let begun: { first: Part; bodies: Uint8Array[] } | null = null
  return ({ seq, message }) => {
    const part = readMessage(message)
    const { n, epoch, kind, of, bodies } = part
    if (of > MAX_PARTS) throw new Error(`record ${n} of the journal has ${of} parts`)
    if (of === 1) {
      begun = null
      return bodies.map((body, i) => ({ n: n + i, epoch, kind, body: Buffer.from(body), seq }))
    }
    if (part.part === 0) begun = { first: part, bodies: [] }
    const first = begun?.first
    if (begun === null || first?.n !== n || first.epoch !== epoch || part.part !== begun.bodies.length)
      // Read from a place where no record ends: the log has other messages up to there than this file was told of.
      throw new Diverged(`part ${part.part} of record ${n} has no beginning in the journal from where it is read`)
    begun.bodies.push(...bodies)
    if (begun.bodies.length < of) return []
    const record = { n, epoch, kind, body: Buffer.concat(begun.bodies), seq }
    begun = null
    return [record]
  }
}
