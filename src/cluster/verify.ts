import type { JournalRecord } from '../store/journal-schema.js'
import { readRecordBody } from '../store/replay.js'
import type { JournalMessage } from './port.js'
import { MAX_PARTS, readFence, readMessage, type Part, type SentRecord } from './records.js'

/** So many findings are told as sentences; the others are counted. */
const MAX_FINDINGS = 50

/** What was found in a journal. */
export interface JournalFindings {
  messages: number
  /** Of all messages. */
  bytes: number
  /** Records that are whole, and how many of them are fences. */
  records: number
  fences: number
  /** Records that were begun and never ended, which are none. */
  unfinished: number
  /** The first and the last record that are whole; null: there is none. */
  first: { n: number; epoch: number } | null
  last: { n: number; epoch: number } | null
  /** Records that were compared with the file's. */
  compared: number
  /** What must not be, as sentences. */
  findings: string[]
  /** Findings beyond those. */
  more: number
}

export interface VerifierParts {
  /** The sequence of the first message that the log keeps; 1: nothing was forgotten yet. */
  first: number
  /** The record of this number as a file has it; undefined: it does not keep it. */
  ours(n: number): Pick<JournalRecord, 'epoch' | 'kind' | 'body'> | undefined
}

/**
 * Looks whether a journal is one, message by message: nothing missing or twice, no record of another epoch than that of the fence before
 * it, epochs that never fall, whole records that can be read, and the same as a file has.
 */
export function createVerifier({ first: firstSeq, ours }: VerifierParts) {
  const found: JournalFindings = {
    messages: 0,
    bytes: 0,
    records: 0,
    fences: 0,
    unfinished: 0,
    first: null,
    last: null,
    compared: 0,
    findings: [],
    more: 0,
  }
  let nextSeq = firstSeq
  let epoch: number | null = null
  let begun: { part: Part; bodies: Uint8Array[] } | null = null
  /** The last record of which the end was seen. */
  let lastN: number | null = null
  const wrong = (what: string): void => {
    if (found.findings.length < MAX_FINDINGS) found.findings.push(what)
    else found.more++
  }

  const readBody = (record: SentRecord): void => {
    try {
      if (record.kind === 'fence') readFence(record)
      else readRecordBody(record.body)
    } catch (error) {
      wrong(`record ${record.n} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const compare = ({ n, epoch, kind, body }: SentRecord): void => {
    const own = ours(n)
    if (own === undefined) return
    found.compared++
    if (own.epoch !== epoch) wrong(`record ${n} is of epoch ${epoch} in the log, and of ${own.epoch} in the file`)
    else if (own.kind !== kind || Buffer.compare(own.body, body) !== 0)
      wrong(`record ${n} of epoch ${epoch} is another in the log than in the file`)
  }
  const checkEpoch = (record: SentRecord): void => {
    const { n, kind } = record
    if (epoch === null && firstSeq === 1 && kind !== 'fence') wrong(`record ${n} comes before any fence`)
    if (epoch !== null && kind === 'fence' && record.epoch <= epoch)
      wrong(`record ${n} is the fence of epoch ${record.epoch}, after records of epoch ${epoch}`)
    if (epoch !== null && kind === 'turn' && record.epoch !== epoch)
      wrong(`record ${n} is of epoch ${record.epoch}, and the fence before it of ${epoch}`)
    epoch = Math.max(epoch ?? 0, record.epoch)
  }
  const ended = (record: SentRecord): void => {
    const { n, kind } = record
    checkEpoch(record)
    found.records++
    if (kind === 'fence') found.fences++
    found.first ??= { n, epoch: record.epoch }
    found.last = { n, epoch: record.epoch }
    lastN = n
    readBody(record)
    compare(record)
  }
  const begin = (part: Part, seq: number): void => {
    if (begun !== null) {
      found.unfinished++
      const { n } = begun.part
      const takesItsPlace = part.n === n && (part.kind === 'fence' || part.epoch === begun.part.epoch)
      if (!takesItsPlace)
        wrong(
          `record ${n} was begun and never ended, and message ${seq} behind it begins record ${part.n}: neither a fence in its place nor the same again`,
        )
    }
    const expected = lastN === null ? (firstSeq === 1 ? 1 : part.n) : lastN + 1
    if (part.n !== expected)
      wrong(
        part.n < expected
          ? `record ${part.n} is there once more, at message ${seq}`
          : `record ${expected} is missing: record ${part.n} follows, at message ${seq}`,
      )
    begun = { part, bodies: [] }
  }
  const add = (part: Part, seq: number): void => {
    if (part.of > MAX_PARTS) {
      begun = null
      return wrong(`message ${seq} is of a record of ${part.of} parts: ${MAX_PARTS} are the most`)
    }
    if (part.of === 1)
      return part.bodies.forEach((body, i) => {
        const n = part.n + i
        begin({ ...part, n }, seq)
        begun = null
        ended({ n, epoch: part.epoch, kind: part.kind, body: Buffer.from(body) })
      })
    if (part.part === 0) begin(part, seq)
    // The beginning of the first record was forgotten with the messages before it.
    else if (begun === null && lastN === null && firstSeq > 1) {
      if (part.part === part.of - 1) [lastN, epoch] = [part.last, part.epoch]
      return
    }
    const of = begun?.part
    if (
      begun === null ||
      of === undefined ||
      of.n !== part.n ||
      of.epoch !== part.epoch ||
      of.kind !== part.kind ||
      of.of !== part.of ||
      begun.bodies.length !== part.part
    )
      return wrong(`message ${seq} is part ${part.part} of record ${part.n}, and what comes before it is not there`)
    begun.bodies.push(...part.bodies)
    if (begun.bodies.length < part.of) return
    const body = Buffer.concat(begun.bodies)
    begun = null
    ended({ n: part.n, epoch: part.epoch, kind: part.kind, body })
  }

  return {
    next({ seq, message }: JournalMessage): void {
      found.messages++
      found.bytes += message.byteLength
      if (seq !== nextSeq) wrong(`message ${nextSeq} is missing: message ${seq} follows`)
      nextSeq = seq + 1
      let part: Part
      try {
        part = readMessage(message)
      } catch (error) {
        return wrong(`message ${seq} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
      }
      add(part, seq)
    },
    /**
     * @param stored the newest record that the file knows to have been in the log, before the log was asked for its last; null: no
     * file was compared
     */
    end(stored: number | null): JournalFindings {
      // The last one may be on its way just now.
      if (begun !== null) found.unfinished++
      begun = null
      const last = lastN ?? 0
      if (stored !== null && stored > last)
        wrong(`the log has lost what it acknowledged: it ends with record ${last}, and had all up to ${stored}`)
      return found
    },
  }
}
