import { JournalUnreachable, type Journal, type JournalMessage } from '../../../src/cluster/port.js'
import { readMessage } from '../../../src/cluster/records.js'
import type { Broken } from './model-member.js'

const HEADER_END = 10

/** Rules of the cluster, each broken in one place, as a mistake in the code would break it. */
export const brokenRules: Record<string, Broken> = {
  'the log stores without comparing what is before': {
    followed: (journal) => ({ ...journal, append: storesAnyhow(journal) }),
    written: (journal) => ({ ...journal, append: storesAnyhow(journal) }),
  },
  'turns are told before the log has them': {
    durable(core, durable) {
      const runner = durable(core)
      return {
        ...runner,
        turn(operations, then) {
          const real = core.turn
          let isTold = false
          core.turn = (some, told) =>
            real(some, (result) => {
              isTold = true
              then(result)
              told(result)
            })
          runner.turn(operations, (result) => (isTold ? undefined : then(result)))
          core.turn = real
        },
      }
    },
  },
  'a follower skips what a record says': {
    followed: (journal) => ({
      ...journal,
      async *read(from, signal) {
        for await (const { seq, message } of journal.read(from, signal))
          yield { seq, message: seq % 7 === 5 ? withoutRows(message) : message }
      },
    }),
  },
  'a claim does not read to the end': {
    followed(journal) {
      let newest: JournalMessage | null = null
      const seen = (message: JournalMessage): JournalMessage => (newest = message)
      return {
        ...journal,
        async *read(from, signal) {
          for await (const message of journal.read(from, signal)) yield seen(message)
        },
        /** Where the log ends, as if nothing were there but what was read before. */
        async last() {
          const last = await journal.last()
          return last === null || newest === null ? last : { seq: last.seq, message: newest.message }
        },
        slice: (from, limit) => (newest === null ? journal.slice(from, limit) : Promise.resolve([])),
      }
    },
  },
  'what may have been stored is sent again': {
    written: (journal) => ({
      ...journal,
      async append(after, message) {
        try {
          return await journal.append(after, message)
        } catch (error) {
          if (!(error instanceof JournalUnreachable)) throw error
          await journal.append((await journal.last())?.seq ?? 0, message)
          return after + 1
        }
      },
    }),
  },
}

/** Behind whatever is there, and says that it is where it was to be. */
const storesAnyhow =
  (journal: Journal): Journal['append'] =>
  async (after, message) => {
    for (;;) {
      const seq = await journal.append((await journal.last())?.seq ?? 0, message)
      if (seq !== null) return after + 1
    }
  }

function withoutRows(message: Uint8Array): Uint8Array {
  const { kind, of } = readMessage(message)
  if (kind === 'fence' || of > 1) return message
  return Buffer.concat([message.subarray(0, message.indexOf(HEADER_END) + 1), Buffer.from('{"sql":[],"run":[]}')])
}
