import * as v from 'valibot'
import type { JournalRecord } from '../store/journal-schema.js'
import { Diverged } from '../store/replay.js'
import type { StoredRecord } from '../store/replica.js'
import { MAX_MESSAGE_BYTES, type JournalMessage } from './port.js'

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1))
const kind = v.picklist(['turn', 'fence'])
/** The first line of a message. */
const header = v.strictObject({
  v: v.literal(1),
  /** The epoch of the ownership it was written in. */
  e: count,
  /** The number of the record: from 1, without gaps. */
  n: count,
  k: kind,
  /** Which part of the record it is, from 0, and of how many. */
  part: v.strictTuple([v.pipe(v.number(), v.safeInteger(), v.minValue(0)), count]),
})
type Header = v.InferOutput<typeof header>
/** A first line is not longer than this, bytes. */
const MAX_HEADER_BYTES = 200
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
})

/** A record as messages of at most MAX_MESSAGE_BYTES and a header, in order. */
export function toMessages({ n, epoch, kind, body }: JournalRecord, most = MAX_MESSAGE_BYTES): Buffer[] {
  const of = Math.max(1, Math.ceil(body.length / most))
  return Array.from({ length: of }, (_, i) => {
    const first: Header = { v: 1, e: epoch, n, k: kind, part: [i, of] }
    return Buffer.concat([Buffer.from(`${JSON.stringify(first)}\n`), body.subarray(i * most, (i + 1) * most)])
  })
}

/** How many messages of this record are there already, when the log ends with `end`: it was begun, and goes on behind that. */
export const partsThere = (record: JournalRecord, { n, epoch, part, of }: Part): number =>
  record.n === n && record.epoch === epoch && part < of - 1 && toMessages(record).length === of ? part + 1 : 0

/** What of a record a message is. */
export interface Part {
  n: number
  epoch: number
  kind: JournalRecord['kind']
  part: number
  of: number
  body: Uint8Array
}

/** @throws when the message is none of ours: somebody else writes to the log */
export function readMessage(message: Uint8Array): Part {
  const end = message.subarray(0, MAX_HEADER_BYTES).indexOf(NEWLINE)
  if (end < 0) throw new Error('a message of the journal has no header: somebody else writes to its log')
  const { e, n, k, part } = v.parse(header, JSON.parse(Buffer.from(message.subarray(0, end)).toString()))
  if (part[0] >= part[1]) throw new Error(`a message of the journal is part ${part[0]} of ${part[1]}`)
  return { n, epoch: e, kind: k, part: part[0], of: part[1], body: message.subarray(end + 1) }
}

/** The most parts of a record: bodies of several messages are kept in memory until the last one is there. */
const MAX_PARTS = 8192

/**
 * Puts records together from their messages, in the order of the log. A record that was begun and not ended, because its owner died in
 * it, never happened: the next begins with its first part, or another record does.
 */
export function createAssembler(): (message: JournalMessage) => StoredRecord | null {
  let begun: { first: Part; bodies: Uint8Array[] } | null = null
  return ({ seq, message }) => {
    const part = readMessage(message)
    if (part.of > MAX_PARTS) throw new Error(`record ${part.n} of the journal has ${part.of} parts`)
    if (part.part === 0) begun = { first: part, bodies: [] }
    const { first } = begun ?? {}
    if (
      begun === null ||
      first === undefined ||
      first.n !== part.n ||
      first.epoch !== part.epoch ||
      part.part !== begun.bodies.length
    )
      // Read from a place where no record ends: the log has other messages up to there than this file was told of.
      throw new Diverged(`part ${part.part} of record ${part.n} has no beginning in the journal from where it is read`)
    begun.bodies.push(part.body)
    if (begun.bodies.length < part.of) return null
    const { n, epoch, kind } = part
    const record = { n, epoch, kind, body: Buffer.concat(begun.bodies), seq }
    begun = null
    return record
  }
}
