import { Diverged } from '../store/replay.js'
import type { Replica, StoredRecord } from '../store/replica.js'
import { JournalTruncated, type Journal } from './port.js'
import { createAssembler, readFence, readMessage, wholeUpTo, type Fence } from './records.js'

/** Records are applied together up to this many bytes; more that come meanwhile wait in the log. */
const MAX_TOGETHER_BYTES = 16 * 1024 * 1024
/**
 * What comes within this time shares a commit, ms: most of what a follower costs is to write the same pages again with each commit. Far
 * less than anybody waits for a takeover.
 */
const GATHER_MS = 200

export interface FollowParts {
  replica: Replica
  journal: Pick<Journal, 'read' | 'slice'>
  /** Told of each fence that was applied. */
  fenced(fence: Fence): void
  signal: AbortSignal
}

/** Applies records in their order; a fence tells from when on the tables are of a newer version. */
export function applyRecords(replica: Replica, records: readonly StoredRecord[], fenced: (fence: Fence) => void): void {
  let from = 0
  records.forEach((record, i) => {
    if (record.kind !== 'fence') return
    const says = readFence(record)
    replica.apply(records.slice(from, i))
    replica.migrate(says.schema)
    replica.apply([record])
    from = i + 1
    fenced(says)
  })
  replica.apply(records.slice(from))
}

/**
 * Looks whether the log has the newest record of this file that was in it where it was. One that has lost its end is given it again; one
 * that has gone on otherwise is another journal.
 * @throws Diverged; JournalUnreachable
 */
export async function checkPlace(replica: Replica, journal: Pick<Journal, 'slice'>): Promise<void> {
  const { stored_n: n, stored_seq: seq } = replica.state() ?? { stored_n: 0, stored_seq: 0 }
  if (seq === 0) return
  try {
    const [there] = await journal.slice(seq, 1)
    if (there === undefined) return
    const part = readMessage(there.message)
    const ours = replica.record(n)
    if (wholeUpTo(part) !== n || (ours !== undefined && ours.epoch !== part.epoch))
      throw new Diverged(
        `record ${n} of this file is not where it was in the log, which has lost its end and gone on otherwise`,
      )
  } catch (error) {
    if (!(error instanceof JournalTruncated)) throw error // what is behind it may be there all the same
  }
}

/**
 * Applies what the journal tells, as it comes, until `signal` aborts.
 * @throws Diverged, JournalTruncated: the file is of no use any more; JournalBehind, JournalUnreachable; what the file cannot do
 */
export async function follow({ replica, journal, fenced, signal }: FollowParts): Promise<void> {
  await checkPlace(replica, journal)
  const assemble = createAssembler()
  const failed = new AbortController()
  let error: Error | null = null
  let waiting: StoredRecord[] = []
  let bytes = 0
  let timer: NodeJS.Timeout | undefined
  const apply = (): void => {
    clearTimeout(timer)
    const records = waiting
    waiting = []
    bytes = 0
    try {
      applyRecords(replica, records, fenced)
    } catch (problem) {
      error ??= problem instanceof Error ? problem : new Error(String(problem))
      failed.abort()
    }
  }
  const until = AbortSignal.any([signal, failed.signal])
  try {
    for await (const message of journal.read((replica.state()?.stored_seq ?? 0) + 1, until)) {
      const records = assemble(message)
      if (records.length === 0) continue
      if (waiting.length === 0) timer = setTimeout(apply, GATHER_MS)
      waiting.push(...records)
      bytes += message.message.length
      if (bytes >= MAX_TOGETHER_BYTES) apply()
      if (until.aborted) break
    }
  } finally {
    // When reading fails the caller closes the file, and what was not applied is read again.
    clearTimeout(timer)
  }
  if (waiting.length > 0 && error === null) apply()
  if (error !== null) throw error as Error
}
