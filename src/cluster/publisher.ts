import { sleep } from '../lib/timer.js'
import type { JournalRecord } from '../store/journal-schema.js'
import type { WrittenRecord } from '../store/store.js'
import { JournalUnreachable, type Journal } from './port.js'
import { messagesOf, nextTogether, partsThere, readMessage, recordsBehind, wholeUpTo } from './records.js'

/** Without anything to send the owner looks so often whether it still is one, ms. */
const CONFIRM_MS = 1000
/** What only reads is answered while the owner has been confirmed within this time, ms: far less than any takeover takes. */
const LEASE_MS = 3000
/** Records that commands have written to the file are looked for so often, ms. */
const LOOK_MS = 200
/** While the log cannot be reached it is tried again after this, ms. */
const RETRY_MS = 200
/** A coordinator whose oldest turn waits longer than this for the log takes no new work, ms. */
const BEHIND_MS = 1000
/** How often a stop looks whether the log has everything, ms. */
const FLUSH_LOOK_MS = 5

/** The records of a file, read beside the core that writes them. */
export interface Outbox {
  newest(): { n: number }
  record(n: number): JournalRecord | undefined
}

export interface PublisherParts {
  journal: Journal
  outbox: Outbox
  /** Of this ownership. */
  epoch: number
  /** The newest record in the log, and where it ends there. */
  stored: { n: number; seq: number }
  /** Told how far the log has the records. `now`: a command waits to know. */
  acknowledged(n: number, seq: number, now: boolean): void
  /** Told once that nothing may be acknowledged any more: somebody else owns the work, or the log is not what it was. */
  ended(why: string): void
  /** Told when the log was given again what it had lost. */
  healed(records: number): void
  /** ms, monotonic. */
  now?: () => number
}

export type Publisher = ReturnType<typeof createPublisher>

/**
 * Sends what turns have written to the log, in order: one message is on its way at a time, and the next has all that came meanwhile. With
 * two on their way the first could be refused, because of another owner's fence, and the second be stored behind that fence. Whenever an
 * append does not succeed it is looked what is there before anything is sent: what was stored is not sent twice, a foreign record ends it.
 */
export function createPublisher({
  journal,
  outbox,
  epoch,
  acknowledged,
  ended,
  healed,
  now = () => performance.now(),
  ...parts
}: PublisherParts) {
  let stored = parts.stored
  /** The newest record of the file, as far as turns have told, or it was looked for. */
  let newest = parts.stored.n
  let state: 'idle' | 'sending' | 'looking' | 'ended' = 'idle'
  /** So many messages of the next record are in the log already. */
  let begun = 0
  /** When the log was last seen to end with what this owner has: an own fence that was stored late may have a newer one behind it. */
  let confirmedAt = -Infinity
  /** What waits until the record `n` is in the log, in order. */
  const waiting: { n: number; at: number; then: () => void }[] = []
  /** Of records that turns have told of, and that are not in the log yet. */
  const bodies = new Map<number, Buffer>()
  /** The newest record that a command has written, until it is in the log; 0: none. */
  let ofCommands = 0

  const waited = (): number => (waiting[0] === undefined ? 0 : now() - waiting[0].at)
  const release = (): void => {
    while (waiting[0] !== undefined && waiting[0].n <= stored.n && now() - confirmedAt <= LEASE_MS)
      waiting.shift()?.then()
  }
  const isStored = (n: number, seq: number): void => {
    for (let i = stored.n + 1; i <= n; i++) bodies.delete(i)
    stored = { n, seq }
    acknowledged(n, seq, ofCommands > 0 && ofCommands <= n)
    if (ofCommands <= n) ofCommands = 0
  }
  const recordAt = (n: number): JournalRecord | undefined => {
    const body = bodies.get(n)
    return body === undefined ? outbox.record(n) : { n, epoch, kind: 'turn', body, seq: null }
  }

  /** Sends until everything is in the log, or an append does not succeed. */
  const sendAll = async (): Promise<void> => {
    state = 'sending'
    let { seq } = stored
    while (stored.n < newest) {
      const [first, ...more] = nextTogether(recordsBehind(stored.n, newest, recordAt))
      if (first === undefined) return end(`record ${stored.n + 1} is missing in the database of this coordinator`)
      const messages = messagesOf([first, ...more], begun)
      begun = 0
      for (const message of messages) {
        const sentAt = now()
        const at = await journal.append(seq, message)
        if (isEnded()) return
        if (at === null) return look()
        seq = at
        confirmedAt = Math.max(confirmedAt, sentAt)
      }
      isStored(first.n + more.length, seq)
      release()
    }
    state = 'idle'
  }
  const isEnded = (): boolean => state === 'ended'
  const send = (): void => {
    if (state === 'idle' && stored.n < newest) sendAll().catch(lookAgain)
  }
  const stop = (): void => {
    state = 'ended'
    clearInterval(looking)
    clearInterval(confirming)
  }
  const end = (why: string): void => {
    if (state === 'ended') return
    stop()
    ended(why)
  }

  /** Whether the log ends with what this file has; then goes on behind it. @throws JournalUnreachable */
  const look = async (): Promise<void> => {
    state = 'looking'
    const began = now()
    const last = await journal.last()
    if (isEnded()) return
    const found = last === null ? null : readMessage(last.message)
    const ours = found === null ? undefined : outbox.record(found.last)
    if (found !== null && (found.epoch > epoch || ours?.epoch !== found.epoch))
      return end(
        found.epoch > epoch
          ? `another coordinator has taken over (epoch ${found.epoch})`
          : `the log ends with record ${found.last} of epoch ${found.epoch}, which this coordinator has not written, or keeps no more; see "stacks-signer cluster rebuild"`,
      )
    begun = ours === undefined || found === null ? 0 : partsThere(ours, found)
    const there = found === null ? { n: 0, seq: 0 } : { n: wholeUpTo(found), seq: last?.seq ?? 0 }
    // The log went back behind what it had acknowledged.
    if (there.n < stored.n) {
      healed(stored.n - there.n)
      stored = there
    }
    confirmedAt = began
    if (there.n > stored.n) isStored(there.n, there.seq)
    // Also where the end of the log is a part of a record that is not whole.
    else stored = { n: stored.n, seq: there.seq }
    release()
    state = 'idle'
    send()
  }
  /** It is not known what the log has, or it cannot be reached. */
  const lookAgain = async (error: unknown): Promise<void> => {
    for (let failure = error; !isEnded();) {
      if (!(failure instanceof JournalUnreachable)) return end(String(failure))
      state = 'looking'
      await sleep(RETRY_MS)
      try {
        if (!isEnded()) await look()
        return
      } catch (again) {
        failure = again
      }
    }
  }

  const lookForCommands = (): void => {
    const { n } = outbox.newest()
    if (n <= newest) return
    newest = ofCommands = n
    send()
  }
  const confirm = (): void => {
    if (state === 'idle' && now() - confirmedAt >= CONFIRM_MS) look().catch(lookAgain)
  }
  const looking = setInterval(lookForCommands, LOOK_MS)
  const confirming = setInterval(confirm, CONFIRM_MS / 2)
  look().catch(lookAgain)

  return {
    /**
     * Calls `then` once the log has everything that was written up to now, in the order of the calls.
     * @param written what the turn has written; null: nothing, it waits for the turns before it
     */
    push(written: WrittenRecord | null, then: () => void): void {
      if (state === 'ended') return
      if (written !== null && written.n > newest) {
        newest = written.n
        bodies.set(written.n, written.body)
        send()
      }
      waiting.push({ n: newest, at: now(), then })
      release()
    },
    /** Resolves when the log has everything that is in the file; false: not within the time, ms, or never. */
    async flush(within: number): Promise<boolean> {
      lookForCommands()
      for (const until = now() + within; now() < until && state !== 'ended';) {
        if (stored.n >= newest) return true
        await sleep(FLUSH_LOOK_MS)
      }
      return false
    },
    /** How long the oldest turn has waited for the log, ms; 0: none waits. */
    waited,
    behind: (): boolean => waited() > BEHIND_MS,
    stored: () => stored,
    /** The newest record of the file. */
    newest: (): number => newest,
    stop,
  }
}
