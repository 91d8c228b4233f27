import type { JournalRecord } from '../store/journal-schema.js'
import type { WrittenRecord } from '../store/store.js'
import { JournalUnreachable, type Journal } from './port.js'
import { partsThere, readMessage, toMessages } from './records.js'

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
 * Sends what turns have written to the log, in order, several on their way at once, and lets go what waits for that. Whenever an
 * append does not succeed it reads what is there before it goes on: what was stored is not sent twice, a foreign record ends it.
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
  /** What was sent, of which some may be in the log. */
  let sent = parts.stored
  /** So many messages of the record behind `sent` are in the log. */
  let begun = 0
  /** The newest that a turn was told of; what commands wrote besides is known when it is looked for. */
  let newest = parts.stored.n
  let state: 'sending' | 'checking' | 'ended' = 'sending'
  let confirmedAt = now()
  /** What waits until the record `n` is in the log, in order. */
  const waiting: { n: number; at: number; then: () => void }[] = []
  /** Messages on their way, in order. `record`: it is the last one of that record. */
  const flights: { seq: number; record: number | null; at: number; done: boolean }[] = []
  let inFlight = 0
  /** Records that no turn has told of. */
  let ofCommands = 0

  const release = (): void => {
    while (waiting[0] !== undefined && waiting[0].n <= stored.n && now() - confirmedAt <= LEASE_MS)
      waiting.shift()?.then()
  }
  const isStored = (n: number, seq: number): void => {
    stored = { n, seq }
    acknowledged(n, seq, ofCommands > 0 && ofCommands <= n)
    if (ofCommands <= n) ofCommands = 0
  }

  const landed = (flight: (typeof flights)[number], seq: number | null): void => {
    inFlight--
    if (state === 'sending' && seq === flight.seq) {
      flight.done = true
      for (let first = flights[0]; first?.done === true; first = flights[0]) {
        flights.shift()
        confirmedAt = Math.max(confirmedAt, first.at)
        if (first.record !== null) isStored(first.record, first.seq)
      }
      return release()
    }
    if (state === 'sending') state = 'checking'
    if (inFlight === 0) void check()
  }
  const send = (record: JournalRecord): void => {
    const messages = toMessages(record)
    messages.forEach((message, i) => {
      if (i < begun) return
      const after = sent.seq
      const flight = { seq: after + 1, record: i === messages.length - 1 ? record.n : null, at: now(), done: false }
      sent = { n: record.n, seq: after + 1 }
      flights.push(flight)
      inFlight++
      journal.append(after, message).then(
        (seq) => landed(flight, seq),
        () => landed(flight, null),
      )
    })
    begun = 0
  }
  const sendUpTo = (n: number, known?: WrittenRecord): void => {
    while (state === 'sending' && sent.n < n) {
      const next = sent.n + 1
      const record = known?.n === next ? { ...known, epoch, kind: 'turn' as const } : outbox.record(next)
      if (record === undefined) return end(`record ${next} is missing in the database of this coordinator`)
      send(record)
    }
  }
  const end = (why: string): void => {
    if (state === 'ended') return
    state = 'ended'
    clearInterval(looking)
    clearInterval(confirming)
    ended(why)
  }

  /** What is in the log, compared with what this file has. @returns null when this coordinator owns nothing any more */
  const look = async (): Promise<{ n: number; seq: number; begun: number } | null> => {
    const last = await journal.last()
    if (last === null) return { n: 0, seq: 0, begun: 0 }
    const message = readMessage(last.message)
    const { n, epoch: of, part } = message
    const complete = part === message.of - 1 ? n : n - 1
    const ours = outbox.record(n)
    if (ours === undefined || ours.epoch !== of) {
      end(
        of > epoch
          ? `another coordinator has taken over (epoch ${of})`
          : `the log ends with record ${n} of epoch ${of}, which this coordinator has not written`,
      )
      return null
    }
    return { n: complete, seq: last.seq, begun: partsThere(ours, message) }
  }
  /** An append was not stored, or it is not known whether it was. Nothing is on its way. */
  const check = async (): Promise<void> => {
    flights.length = 0
    for (;;) {
      if (state === 'ended') return
      const began = now()
      try {
        const there = await look()
        if (there === null) return
        // The log went back behind what it had acknowledged.
        if (there.seq < stored.seq) healed(stored.n - there.n)
        state = 'sending'
        confirmedAt = began
        sent = there
        // It goes on within a record: sent from its beginning, all behind it would be elsewhere than who has read it remembers.
        begun = there.begun
        if (there.n > stored.n) isStored(there.n, there.seq)
        release()
        return sendUpTo(newest)
      } catch (error) {
        if (!(error instanceof JournalUnreachable)) return end(String(error))
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  const lookForCommands = (): void => {
    const { n } = outbox.newest()
    if (n <= newest) return
    newest = ofCommands = n
    sendUpTo(n)
  }
  const confirm = (): void => {
    if (state !== 'sending' || inFlight > 0 || now() - confirmedAt < CONFIRM_MS) return
    state = 'checking'
    void check()
  }
  const looking = setInterval(lookForCommands, LOOK_MS)
  const confirming = setInterval(confirm, CONFIRM_MS / 2)

  return {
    /**
     * Calls `then` once the log has everything that was written up to now, in the order of the calls.
     * @param written what the turn has written; null: nothing, it waits for the turns before it
     */
    push(written: WrittenRecord | null, then: () => void): void {
      if (state === 'ended') return
      if (written !== null && written.n > newest) {
        newest = written.n
        sendUpTo(written.n, written)
      }
      waiting.push({ n: newest, at: now(), then })
      release()
    },
    /** Resolves when the log has everything that is in the file; false: not within the time, ms, or never. */
    async flush(within: number): Promise<boolean> {
      lookForCommands()
      for (const until = now() + within; now() < until && state !== 'ended';) {
        if (stored.n >= newest) return true
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      return false
    },
    /** How long the oldest turn has waited for the log, ms; 0: none waits. */
    waited: (): number => (waiting[0] === undefined ? 0 : now() - waiting[0].at),
    behind: (): boolean => waiting[0] !== undefined && now() - waiting[0].at > BEHIND_MS,
    stored: () => stored,
    /** The newest record of the file. */
    newest: (): number => newest,
    stop(): void {
      if (state === 'ended') return
      state = 'ended'
      clearInterval(looking)
      clearInterval(confirming)
    },
  }
}
