import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstream, jetstreamManager, JetStreamApiCodes, type JetStreamManager } from '@nats-io/jetstream'
import { headers } from '@nats-io/transport-node'
import { apiCode, type LogConnection } from './connection.js'
import { JournalTruncated, JournalUnreachable, refuseTooLarge, type Journal, type JournalMessage } from './port.js'
import { readJournal } from './reader.js'
import { JournalGone, readInfo, streamOf, subjectOf } from './stream.js'

/** Who has written a message, by connection: two coordinators that write the same bytes are told apart. */
const WRITER = 'Inference-Writer'
/** In errors of the log: the stream holds max_bytes. */
const STREAM_FULL = 10077
/** How many messages of a slice are on their way at once. */
const SLICE_AT_ONCE = 16
/** How long an answer about what is there may take, ms: while a leader is elected some are never given, and asking again is safe. */
export const READ_TIMEOUT_MS = 2000

/** Between two looks whether what was proposed is stored, ms. */
const PROPOSED_MS = 20

export interface JournalOptions {
  /** How long the log may take to acknowledge what is appended, ms. */
  timeout: number
  /** How long the journal may end before what a reader has read, until it is believed, ms: a leader that was just elected may be behind. */
  behindFor: number
}

/**
 * The journal on a stream of NATS JetStream with three replicas.
 *
 * `last` and `slice` are answered by the stream's leader, which has applied all that was acknowledged when it was elected. One that was
 * cut off from the others may answer for some seconds yet: what only the newest message decides is decided by an `append` behind it.
 *
 * Of several appends on their way at once the first that fails decides: those behind it are JournalUnreachable, not a conflict.
 */
export async function createJournal(
  connection: LogConnection,
  name: string,
  id: string,
  options: JournalOptions,
): Promise<Journal> {
  const { nc, ask } = connection
  const [stream, subject] = [streamOf(name), subjectOf(name)]
  const js = jetstream(nc, { timeout: READ_TIMEOUT_MS })
  const jsm: JetStreamManager = await jetstreamManager(nc, { timeout: READ_TIMEOUT_MS, checkAPI: false })
  const writer = randomUUID()

  /** What is there now; both 0-based ends as the stream has them: an empty one begins behind its last. */
  const bounds = async (): Promise<{ first: number; last: number }> => {
    const info = await readInfo(connection, jsm, name)
    if (info === null) throw new JournalGone(name)
    return { first: Math.max(1, info.state.first_seq), last: info.state.last_seq }
  }
  const messageAt = async (query: { seq: number } | { last_by_subj: string }) => {
    const found = await ask(() => jsm.streams.getMessage(stream, query))
    return found === null ? null : { seq: found.seq, message: found.data, writer: found.header.get(WRITER) }
  }

  /**
   * What a refused expectation means: what we have sent before is there, something else is, or what must come before is missing.
   * @param last where the leader says that the journal ends
   */
  const decide = async (after: number, message: Uint8Array, last: number): Promise<number | null> => {
    const began = performance.now()
    const end = began + options.timeout
    for (;;) {
      const there = await messageAt({ seq: after + 1 })
      if (there !== null)
        return there.writer === writer && Buffer.compare(there.message, message) === 0 ? after + 1 : null
      const { first } = await bounds()
      if (first > after + 1) return null // it was there, and was truncated
      if (last <= after || performance.now() > end) {
        if (last > after) connection.doubt(began)
        throw new JournalUnreachable(
          `the journal refuses message ${after + 1}, and nothing is there: it ends at ${last}`,
        )
      }
      // The leader counts what it has proposed to the others, which may not be stored yet, or never.
      await sleep(PROPOSED_MS)
    }
  }

  return {
    id,
    async append(after, message) {
      refuseTooLarge(message)
      const own = headers()
      own.set(WRITER, writer)
      // No Nats-Msg-Id: only what is read decides whether a message is there, for a window of ids forgets them.
      const expect = { lastSequence: after, streamName: stream }
      try {
        const { seq } = await ask(() =>
          js.publish(subject, message, { headers: own, expect, timeout: options.timeout }),
        )
        if (seq === after + 1) return seq
      } catch (error) {
        const code = apiCode(error)
        if (code === JetStreamApiCodes.StreamWrongLastSequence && error instanceof Error)
          return decide(after, message, lastIn(error))
        if (code === STREAM_FULL)
          throw new JournalUnreachable(
            `the journal is full: see in "stacks-signer cluster status" which coordinator has fallen behind, or raise max_bytes of the stream ${stream}`,
            { cause: error },
          )
        // 10164 among them: another append is in process, whose end decides.
        throw error
      }
      throw new JournalUnreachable(`the journal has stored a message elsewhere than behind ${after}`)
    },
    read: (from, signal) => readJournal({ connection, js, stream, bounds, behindFor: options.behindFor }, from, signal),
    async last() {
      const newest = await messageAt({ last_by_subj: subject })
      if (newest !== null) return { seq: newest.seq, message: newest.message }
      const { last } = await bounds()
      if (last === 0) return null
      // The first was stored between the two questions.
      const found = await messageAt({ seq: last })
      if (found !== null) return { seq: found.seq, message: found.message }
      throw new JournalUnreachable(`the stream ${stream} does not hold its newest message, ${last}`)
    },
    async slice(from, limit) {
      const { first, last } = await bounds()
      if (from < first) throw new JournalTruncated(`the journal begins at message ${first}, after ${from}`)
      const end = Math.min(last, from + limit - 1)
      const found: JournalMessage[] = []
      for (let at = from; at <= end; at += SLICE_AT_ONCE) {
        const part = Array.from({ length: Math.min(SLICE_AT_ONCE, end - at + 1) }, (_, i) => messageAt({ seq: at + i }))
        for (const [i, one] of (await Promise.all(part)).entries()) {
          if (one === null) throw new JournalTruncated(`the journal does not keep message ${at + i} any more`)
          found.push({ seq: one.seq, message: one.message })
        }
      }
      return found
    },
    async truncate(below) {
      const { first, last } = await bounds()
      // The newest stays: an empty stream could not tell where it ends.
      const seq = Math.min(below, last)
      if (seq > first) await ask(() => jsm.streams.purge(stream, { seq }))
    },
  }
}

/** The sequence in "wrong last sequence: 7"; in any other words it is not known, and looked for. */
function lastIn({ cause }: Error): number {
  const [, last] = /sequence: (\d+)/.exec(cause instanceof Error ? cause.message : '') ?? []
  return last === undefined ? Infinity : Number(last)
}
